// The two pictures lie on each other; a native range input, invisible, moves the line between them.
export default function ({ parentElement, data }) {
  const find = (selector) => parentElement.querySelector(selector);
  const frame = find(".frame");
  const range = find("input");
  for (const side of ["left", "right"]) {
    const image = find(`img.${side}`);
    if (image.src !== data[side].src) image.src = data[side].src;
    image.alt = data[side].alt;
    find(`.name.${side}`).textContent = data[side].name;
  }
  frame.style.width = `${data.width}px`;
  frame.style.aspectRatio = `${data.width} / ${data.height}`;
  frame.style.setProperty("--rendering", data.enlarged ? "pixelated" : "auto");
  const both = `${data.left.name} on the left, ${data.right.name} on the right`;
  range.setAttribute("aria-label", `Line between ${both}`);
  const show = () => {
    frame.style.setProperty("--split", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % ${data.left.name}`);
  };
  range.oninput = show;
  show();
}
