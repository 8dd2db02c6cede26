// One zoom for all pictures of the page: three numbers on the document's root, which the pictures'
// style sheets read. Streamlit redraws its pictures as it likes; the numbers stay.
const PICTURES = '[class*="st-key-linked"] [data-testid="stImageContainer"]';
const DRAG = 6; // pixels; a press that moves less is a click
const CLICKED = 4; // times
const WAIT = 500; // milliseconds of rest before the address is changed

export default function ({ parentElement, data, setStateValue }) {
  const inputs = {};
  for (const input of parentElement.querySelectorAll("input")) inputs[input.name] = input;
  const output = parentElement.querySelector("output");
  const button = parentElement.querySelector("button");
  const root = document.documentElement;
  const values = () => [inputs.zoom.value, inputs.across.value, inputs.down.value].map(Number);
  let timer;

  const show = () => {
    const [zoom, across, down] = values();
    const zoomed = zoom > 1;
    root.style.setProperty("--at-zoom", zoom);
    root.style.setProperty("--at-across", `${across}%`);
    root.style.setProperty("--at-down", `${down}%`);
    if (zoomed) root.style.setProperty("--at-rendering", "pixelated");
    else root.style.removeProperty("--at-rendering");
    root.toggleAttribute("data-zoomed", zoomed);
    for (const input of [inputs.across, inputs.down, button]) input.disabled = !zoomed;
    output.textContent = `${zoom}×`;
  };
  const set = (zoom, across, down) => {
    Object.assign(inputs.zoom, { value: zoom });
    Object.assign(inputs.across, { value: across });
    Object.assign(inputs.down, { value: down });
    changed();
  };
  const changed = () => {
    show();
    clearTimeout(timer);
    timer = setTimeout(() => {
      const [zoom, across, down] = values();
      setStateValue("view", zoom > 1 ? `${zoom},${across},${down}` : "");
    }, WAIT);
  };
  const place = (event) => {
    const box = event.target.closest?.(PICTURES)?.getBoundingClientRect();
    if (!box) return null;
    const part = (value, start, length) =>
      Math.round(Math.min(100, Math.max(0, (100 * (value - start)) / length)));
    return [part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height)];
  };

  let pressed = null;
  const down = (event) => { pressed = [event.clientX, event.clientY]; };
  const move = (event) => {
    const [zoom] = values();
    const held = event.pointerType === "mouse" || event.buttons > 0;
    const at = zoom > 1 && held ? place(event) : null;
    if (at) set(zoom, ...at);
  };
  const click = (event) => {
    const at = place(event);
    const [x, y] = pressed ?? [event.clientX, event.clientY];
    if (!at || Math.hypot(event.clientX - x, event.clientY - y) > DRAG) return;
    set(values()[0] > 1 ? 1 : CLICKED, ...at);
  };

  const asked = String(data.view ?? "").split(",").map(Number);
  if (!parentElement.begun && asked.length === 3 && asked.every(Number.isFinite)) {
    inputs.zoom.value = asked[0];
    inputs.across.value = asked[1];
    inputs.down.value = asked[2];
  }
  parentElement.begun = true;
  show();
  for (const input of Object.values(inputs)) input.oninput = changed;
  button.onclick = () => set(1, 50, 50);

  parentElement.leave?.(); // Streamlit calls again after every run of the page
  document.addEventListener("pointerdown", down);
  document.addEventListener("pointermove", move);
  document.addEventListener("click", click);
  const leave = () => {
    clearTimeout(timer);
    document.removeEventListener("pointerdown", down);
    document.removeEventListener("pointermove", move);
    document.removeEventListener("click", click);
  };
  parentElement.leave = leave;
  return () => {
    leave();
    for (const name of ["zoom", "across", "down", "rendering"])
      root.style.removeProperty(`--at-${name}`);
    root.removeAttribute("data-zoomed");
  };
}
