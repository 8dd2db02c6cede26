// One picture of the page at a time, as large as whole multiples of its pixels fit. The pictures are
// the page's own, found by their description: nothing is sent twice.
const BAR = 64; // pixels below the picture
const WAIT = 500; // milliseconds of rest before the address is changed
const LATE = 100; // milliseconds between looks for a picture that is still on its way
const LOOKS = 100;

export default function ({ parentElement, data, setStateValue }) {
  const find = (selector) => parentElement.querySelector(selector);
  const [dialog, image, name] = [find("dialog"), find("img"), find(".name")];
  // The list says what there is; a picture may come to the page after its turn has come here.
  const { pictures } = data;
  const onPage = (alt) =>
    [...document.querySelectorAll('[class*="st-key-linked"] img')].find((i) => i.alt === alt);
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
  const draw = (one, left) => {
    clearTimeout(kept.late);
    const img = onPage(one.alt);
    image.alt = one.alt;
    if (img) image.src = img.src;
    else image.removeAttribute("src"); // not the one before, under this one's name
    if (!img && left) kept.late = setTimeout(draw, LATE, one, left - 1);
  };
  const show = (place) => {
    if (!pictures.length) return;
    const at = (place + pictures.length) % pictures.length;
    const one = pictures[at];
    name.textContent = `${one.name} · ${at + 1} of ${pictures.length}`;
    kept.shown = one.name;
    draw(one, LOOKS);
    if (!dialog.open) dialog.showModal();
    remember(one.name);
  };
  const place = (shown = kept.shown) => pictures.findIndex((one) => one.name === shown);
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
  if (!kept.begun && place(data.shown) >= 0) show(place(data.shown));
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
