/** The report's appearance. */
export const STYLE = `
:root { --ink: #1d232b; --soft: #5a6572; --rule: #e3e7ec; --paper: #ffffff; --wash: #f6f8fa; --accent: #e69f00; --good: #009e73; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
header .brand { margin: 0; font-weight: 700; letter-spacing: .02em; color: var(--accent); }
header h1 { margin: 0; font-size: 2.2rem; line-height: 1.2; overflow-wrap: anywhere; }
header .sub { margin: 4px 0 28px; color: var(--soft); }
section { background: var(--paper); border: 1px solid var(--rule); border-radius: 14px; padding: 24px 28px; margin: 0 0 20px; }
h2 { margin: 0 0 14px; font-size: 1.25rem; }
.verdict h2 { font-size: 1.5rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 14px; margin: 0 0 18px; }
.card { background: var(--wash); border-radius: 10px; padding: 14px 16px; }
.card strong { display: block; font-size: 1.7rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span, .card small { display: block; }
.card small, .note, figcaption, small { color: var(--soft); font-size: .86rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 18px; }
figure { margin: 0; }
figcaption { font-weight: 600; color: var(--ink); }
article { border-top: 1px solid var(--rule); padding: 16px 0; }
article h3 { margin: 0 0 10px; font-size: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); gap: 14px; }
.answer { background: var(--wash); border-radius: 10px; padding: 12px 16px; border-left: 4px solid var(--rule); }
.answer.won { border-left-color: var(--good); }
.answer h4 { margin: 0; font-size: .8rem; color: var(--soft); text-transform: uppercase; letter-spacing: .05em; }
.answer p { margin: 4px 0 8px; white-space: pre-wrap; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 7px 10px 7px 0; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; font-size: .86rem; }
tfoot td { border: 0; font-weight: 600; }
.n { text-align: right; white-space: nowrap; }
.bar { width: 30%; }
.bar i { display: block; height: 8px; border-radius: 4px; background: var(--accent); }
dt { margin-top: 10px; }
dd { margin: 0; color: var(--soft); }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--wash); padding: 3px 7px; border-radius: 6px; overflow-wrap: anywhere; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
`;
