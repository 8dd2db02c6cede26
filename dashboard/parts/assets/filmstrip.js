// Native radio buttons: one stop for the Tab key, arrow keys choose.
export default function ({ parentElement, data, key, setTriggerValue }) {
  const strip = parentElement.querySelector(".strip");
  const pick = (name) => setTriggerValue("picked", name);
  const cell = ({ name, src }) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: key, value: name, title: name });
    input.setAttribute("aria-label", name);
    const picture = document.createElement(src ? "img" : "span");
    if (src) Object.assign(picture, { src, alt: "" }); // the radio button has the name
    else Object.assign(picture, { className: "none", textContent: name });
    label.append(picture, input);
    return label;
  };
  const shown = JSON.stringify(data.pictures);
  if (strip.shown !== shown) strip.replaceChildren(...data.pictures.map(cell));
  strip.shown = shown;
  strip.setAttribute("aria-label", data.label);
  for (const input of strip.querySelectorAll("input")) {
    input.checked = input.value === data.chosen;
    input.onchange = () => pick(input.value);
    if (input.checked) reveal(strip, input.parentElement);
  }
  for (const side of ["before", "after"]) {
    const button = parentElement.querySelector(`.${side}`);
    button.hidden = !data[side];
    button.onclick = () => pick(data[side]);
  }
}

// Scrolls the strip alone; scrollIntoView would move the page, too.
function reveal(strip, label) {
  const left = label.offsetLeft - strip.offsetLeft;
  const right = left + label.offsetWidth;
  if (left < strip.scrollLeft) strip.scrollLeft = left - 8;
  if (right > strip.scrollLeft + strip.clientWidth) strip.scrollLeft = right + 8 - strip.clientWidth;
}
