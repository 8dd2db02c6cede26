// One picture of the page at a time, as large as whole multiples of its pixels fit. The pictures are
// the page's own, found by their description: nothing is sent twice.
const BAR = 64; // pixels below the picture
const WAIT = 500; // milliseconds of rest before the address is changed
const LATE = 100; // milliseconds between looks for a picture that is still on its way
const LOOKS = 100;

export default function ({ parentElement, data, setStateValue }) {
  const find = (selector) => parentElement.querySelector(selector);
  const [dialog, image, name] = [find("dialog"), find("img"), find(".name")];
  const pictures = () => {
    const all = [...document.querySelectorAll('[class*="st-key-linked"] img')];
    const found = data.pictures.map((one) => ({ ...one, img: all.find((i) => i.alt === one.alt) }));
    return found.filter((one) => one.img);
  };
  // Streamlit calls again after every run of the page; what lasts stands on the element.
  const kept = (parentElement.kept ??= { told: data.shown, shown: "" });

  const remember = (shown) => {
    clearTimeout(kept.timer);
    if (shown === kept.told) return; // telling runs the page
    kept.timer = setTimeout(() => {
      kept.told = shown;
      setStateValue("shown", shown);
    }, WAIT);
  };
  const fit = () => {
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    if (!width) return;
    const most = Math.min(innerWidth / width, (innerHeight - BAR) / height);
    const factor = Math.floor(most);
    image.classList.toggle("enlarged", factor > 1);
    image.style.width = `${width * Math.max(1, factor)}px`;
  };
  const show = (place) => {
    const all = pictures();
    if (!all.length) return;
    const at = (place + all.length) % all.length;
    const one = all[at];
    Object.assign(image, { src: one.img.src, alt: one.alt });
    name.textContent = `${one.name} · ${at + 1} of ${all.length}`;
    kept.shown = one.name;
    if (!dialog.open) dialog.showModal();
    remember(one.name);
  };
  const place = () => pictures().findIndex((one) => one.name === kept.shown);
  const step = (by) => show(place() + by);

  image.onload = fit;
  find(".open").onclick = () => show(Math.max(0, place()));
  find(".before").onclick = () => step(-1);
  find(".after").onclick = () => step(1);
  find(".close").onclick = () => dialog.close();
  dialog.onclose = () => remember("");
  dialog.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  };
  const look = (left) => {
    const at = pictures().findIndex((one) => one.name === data.shown);
    if (at >= 0) show(at);
    else if (left) kept.late = setTimeout(look, LATE, left - 1);
  };
  if (!kept.begun && data.shown) look(LOOKS);
  else if (dialog.open) show(Math.max(0, place())); // another photograph, or other pictures
  kept.begun = true;

  window.removeEventListener("resize", kept.fit);
  window.addEventListener("resize", fit);
  kept.fit = fit;
  return () => {
    clearTimeout(kept.timer);
    clearTimeout(kept.late);
    window.removeEventListener("resize", fit);
  };
}
