"""How any system is trained and applied; nothing here knows a particular one."""
