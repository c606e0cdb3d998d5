/** Plots as files of their own: PNG, and SVG that needs no page around it. */
import { requireNative } from '../natives.js';

const INK = '#1c1f24';
const PAPER = '#ffffff';

/** Returns the plot on white, in the page's light colours, without the titles that only a pointer finds. */
export function standaloneSvg(svg: string): string {
  return svg
    .replace(/^<svg /, `<svg ${/ xmlns="/.test(svg) ? '' : 'xmlns="http://www.w3.org/2000/svg" '}`)
    .replace(/^(<svg [^>]*>)/, `$1<rect width="100%" height="100%" fill="${PAPER}"></rect>`)
    .replaceAll('currentColor', INK);
}

/** Pixels of the picture for one pixel of the SVG. */
const ZOOM = 2;

export function pngOf(svg: string): Uint8Array {
  const { Resvg } = requireNative<typeof import('@resvg/resvg-js')>('@resvg/resvg-js');
  const font = { loadSystemFonts: true, defaultFontFamily: 'Liberation Sans' };
  return new Resvg(standaloneSvg(svg), { fitTo: { mode: 'zoom', value: ZOOM }, font }).render().asPng();
}
