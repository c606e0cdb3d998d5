/**
 * The script of a page's tooltips: it shows the <title> of the nearest mark, at once, and also where there is no
 * pointer to hover with. It runs in a browser; nothing of it is compiled.
 */
export const TOOLTIP = `
const tip = document.createElement('div');
tip.id = 'tip';
tip.hidden = true;
document.body.append(tip);
const REACH = 24; // px
// titles are read when they are needed, since a live page exchanges its figures;
// a mark without its title is not shown a second time by the browser
function marksOf(svg) {
  for (const title of svg.querySelectorAll('title')) {
    title.parentNode.setAttribute('data-title', title.textContent);
    title.remove();
  }
  return svg.querySelectorAll('[data-title]');
}
function show(event) {
  const svg = event.target.closest && event.target.closest('figure svg');
  let best;
  let least = REACH;
  if (svg) for (const mark of marksOf(svg)) {
    const box = mark.getBoundingClientRect();
    const isLine = box.width > 2 * REACH || box.height > 2 * REACH;
    const distance = isLine
      ? (event.target === mark ? REACH - 1 : REACH)
      : Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
    if (distance < least) [best, least] = [mark, distance];
  }
  tip.hidden = !best;
  if (!best) return;
  tip.textContent = best.getAttribute('data-title');
  const { width, height } = tip.getBoundingClientRect();
  const above = event.clientY - height - 14;
  const right = document.documentElement.clientWidth - width - 4;
  tip.style.left = Math.max(4, Math.min(event.clientX - width / 2, right)) + 'px';
  tip.style.top = (above < 4 ? event.clientY + 18 : above) + 'px';
}
addEventListener('pointermove', show);
addEventListener('pointerdown', show);
addEventListener('scroll', () => { tip.hidden = true; }, { passive: true });
`;
