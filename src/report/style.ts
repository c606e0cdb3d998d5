/** The look of all pages, in light, in dark, on a phone and in print. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c1f24; --faint: #5c6570; --line: #d8dde3; --paper: #ffffff;
  --panel: #f6f8fa; --shade: #0005; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --faint: #9aa4b0; --line: #353c45; --paper: #14171b; --panel: #1c2127;
    --shade: #fff6; }
  svg [stroke="#0072b2"] { stroke: #2b8fd6; } svg [fill="#0072b2"] { fill: #2b8fd6; }
  .key[style*="#0072b2"] { background: #2b8fd6 !important; }
}
body { margin: 0 auto; max-width: 1380px; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.finding { font-size: 1.1rem; margin: .3rem 0; } .note { color: var(--faint); font-size: .9rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .5rem; background: var(--panel); border-radius: 8px; }
figure svg { display: block; width: 100%; height: auto; color: var(--ink); }
figcaption { color: var(--faint); font-size: .85rem; line-height: 1.35; padding: .2rem .4rem; }
/* of a plot, the one whose letters can be read; of a switch, the view that is chosen */
.narrow { display: none; }
@media screen and (max-width: 600px) { .wide { display: none; } .narrow { display: block; } }
.switch label { margin: 0 1em 0 .2em; font-size: .85rem; color: var(--faint); } .switch > div { display: none; }
.switch > input:nth-of-type(1):checked ~ div:nth-of-type(1), .switch > input:nth-of-type(2):checked ~
  div:nth-of-type(2) { display: block; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 1rem;
  align-items: start; }
.beside > * { min-width: 0; }
/* a shadow stands at the side to which a table goes on, and is covered where it ends */
.scroll { overflow-x: auto; background: linear-gradient(to right, var(--paper) 40%, transparent) left,
  linear-gradient(to left, var(--paper) 40%, transparent) right,
  linear-gradient(to right, var(--shade), transparent) left, linear-gradient(to left, var(--shade), transparent) right;
  background-repeat: no-repeat; background-size: 3rem 100%, 3rem 100%, 1rem 100%, 1rem 100%;
  background-attachment: local, local, scroll, scroll; }
nav { margin: .8rem 0; font-size: .92rem; } nav a { margin-right: 1.2em; color: inherit; }
footer { margin-top: 2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--faint); font-weight: 600; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } .scroll + .scroll, .plots + .scroll { margin-top: 1rem; }
#tip { position: fixed; z-index: 1; padding: .35rem .6rem; border-radius: 6px; font-size: .85rem; line-height: 1.35;
  white-space: pre-line; pointer-events: none; color: var(--paper); background: var(--ink); }
#live { position: sticky; top: 0; z-index: 1; margin: 0 0 .5rem; padding: .2rem 0; font-size: .85rem;
  color: var(--faint); background: var(--paper); }
#live ~ main { overflow-anchor: none; } #live ~ main > section { scroll-margin-top: 2rem; }
#live::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: 50%;
  margin-right: .5em; background: #e69f00; }
#live[data-state="live"]::before { background: #009e73; } #live[data-state="lost"]::before { background: #d55e00; }
#tip[hidden] { display: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 280px), 1fr)); gap: .7rem; }
.card { padding: .6rem .7rem; background: var(--panel); border-radius: 8px; border-top: 3px solid var(--line); }
.card h3 { margin: 0; font-size: .95rem; line-height: 1.3; } .card h3 a { color: inherit; text-decoration: none; }
.card p { margin: .3rem 0 0; font-size: .82rem; line-height: 1.3; } .card .verdict { font-weight: 600; }
.card[data-verdict="reproduced"] { border-color: #009e73; } .card[data-verdict="in part"] { border-color: #e69f00; }
.card[data-verdict="not reproduced"] { border-color: #d55e00; }
.thumb svg { display: block; width: 100%; height: auto; color: var(--ink); }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em; }
@media (max-width: 600px) { body { padding: .75rem; } figure { padding: .15rem; } }
@media print {
  :root { color-scheme: light; --ink: #1c1f24; --faint: #5c6570; --line: #d8dde3; --paper: #ffffff; --panel: #ffffff; }
  body { padding: 0; max-width: none; font-size: 10pt; } figure, tr, .card { break-inside: avoid; }
  h2, h3 { break-after: avoid; } nav { display: none; }
  .plots { grid-template-columns: 1fr 1fr; } .scroll { overflow: visible; background: none; }
  th, td { padding: .15rem .35rem; white-space: normal; font-size: 8.5pt; }
  #tip, #live, .switch > input, .switch > label { display: none; }
}
`;
