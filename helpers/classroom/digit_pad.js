// A pad of 32 by 32 points. Mouse and finger draw; so do the arrow keys, while the pen is down.
const POINTS = 32, SIZE = 9;

function render({ model, el }) {
  const points = () => model.get("points").split("");
  el.innerHTML = `
    <div style="display:inline-block;margin-right:1.5em">
      <canvas tabindex="0" width="${POINTS * SIZE}" height="${POINTS * SIZE}" role="application"
        aria-label="Drawing pad. Arrow keys move the pen, space lowers or raises it, Delete clears."
        style="border:2px solid #333;touch-action:none;cursor:crosshair;background:#fff"></canvas>
      <div class="pen" aria-live="polite" style="min-height:1.4em"></div>
      <button type="button">Clear</button>
      <details><summary>By keyboard</summary>
        Tab to the pad. The arrow keys move the pen, with Shift one point at a time; the space bar lowers and
        raises it; Delete clears.
      </details>
    </div>`;
  const canvas = el.querySelector("canvas"), status = el.querySelector(".pen"), clear = el.querySelector("button");
  const paper = canvas.getContext("2d");
  let pen = [4, 12], down = false, hand = null, kept = points(), waiting = null;

  function draw() {
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, canvas.width, canvas.height);
    paper.fillStyle = "#111";
    kept.forEach((point, at) => {
      if (point === "1") paper.fillRect((at % POINTS) * SIZE, Math.floor(at / POINTS) * SIZE, SIZE, SIZE);
    });
    if (document.activeElement === canvas || canvas.getRootNode().activeElement === canvas) {
      paper.strokeStyle = "#c62828";
      paper.lineWidth = 2;
      paper.setLineDash(down ? [] : [3, 3]);
      paper.strokeRect(pen[1] * SIZE - SIZE, pen[0] * SIZE - SIZE, 3 * SIZE, 3 * SIZE);
    }
  }
  function send(now) {
    clearTimeout(waiting);
    const put = () => { model.set("points", kept.join("")); model.save_changes(); };
    if (now) put(); else waiting = setTimeout(put, 150);
  }
  function ink([row, column]) {
    for (let r = row - 1; r <= row + 1; r++)
      for (let c = column - 1; c <= column + 1; c++)
        if (r >= 0 && c >= 0 && r < POINTS && c < POINTS) kept[r * POINTS + c] = "1";
  }
  function line(from, to) {
    const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
    for (let step = 0; step <= steps; step++)
      ink([0, 1].map((axis) => Math.round(from[axis] + ((to[axis] - from[axis]) * step) / steps)));
  }
  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [
      Math.floor(((event.clientY - box.top) / box.height) * POINTS),
      Math.floor(((event.clientX - box.left) / box.width) * POINTS),
    ];
  }
  function tell() {
    status.textContent = `Pen ${down ? "down" : "up"}, row ${pen[0] + 1}, column ${pen[1] + 1}`;
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    hand = place(event);
    line(hand, hand);
    draw();
    send(false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!hand) return;
    const next = place(event);
    line(hand, next);
    hand = next;
    draw();
    send(false);
  });
  canvas.addEventListener("pointerup", () => { hand = null; send(true); });
  canvas.addEventListener("keydown", (event) => {
    const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const way = ways[event.key], stride = event.shiftKey ? 1 : 2;
    if (way) {
      const next = [0, 1].map((axis) => Math.min(POINTS - 1, Math.max(0, pen[axis] + way[axis] * stride)));
      if (down) { line(pen, next); send(false); }
      pen = next;
    } else if (event.key === " ") {
      down = !down;
      if (down) { ink(pen); send(false); }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      kept = kept.map(() => "0");
      send(true);
    } else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has plans for these keys too
    tell();
    draw();
  });
  canvas.addEventListener("focus", () => { tell(); draw(); });
  canvas.addEventListener("blur", draw);
  clear.addEventListener("click", () => { kept = kept.map(() => "0"); draw(); send(true); });
  model.on("change:points", () => { kept = points(); draw(); });
  draw();
}

export default { render };
