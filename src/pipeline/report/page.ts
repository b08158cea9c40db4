/** `report.html`: one file that needs nothing else, neither scripts nor a network. */
import { seconds as duration, percent, size } from '../../setup/progress.mjs';
import type { Estimated, MetricsLine, ReportData, SideBySide } from './data.ts';
import { curves, intervals, path, type Series } from './figures.ts';
import { type Html, html, trusted } from './html.ts';
import { STYLE } from './style.ts';

/** The whole page. */
export function renderReport(data: ReportData): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${data.name}: what the run came to</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<main>
${head(data)}
${verdict(data)}
${training(data)}
${answers(data)}
${rewardModel(data)}
${cost(data)}
${next(data)}
</main>
</body>
</html>
`;
  return page.text;
}

function head({ name, model, seed, finishedAt }: ReportData): Html {
  return html`<header>
<p class="brand">Nudge</p>
<h1>${name}</h1>
<p class="sub">${model}, seed ${seed}, ${finishedAt.slice(0, 16).replace('T', ' ')} UTC</p>
</header>`;
}

const GOLD_NOTE =
  "The gold judge is the labellers' hidden rubric without their noise. The reward model saw only what they ranked. Where it likes the new answers much more than the gold judge does, the policy has learned to please the reward model: look at the answers.";
const PROXY_NOTE =
  'The policy was trained to please this very reward model: its opinion says that training worked, not that people would agree. Have people compare answers, and look at them.';

/** The answer to the one question: did the answers get better? */
function verdict({ evaluation }: ReportData): Html | null {
  if (evaluation === undefined) return null;
  const { goldWinRate, proxyWinRate, gold, proxy, klPerSequence, length } = evaluation;
  const shown = goldWinRate ?? proxyWinRate;
  const by = goldWinRate === null ? 'the reward model' : 'a judge that the reward model never saw';
  const sentence =
    shown.low > 0.5
      ? `The answers got better, by ${by}.`
      : shown.high < 0.5
        ? `The answers got worse, by ${by}.`
        : 'No difference is certain: the interval holds one half.';
  const scores =
    gold === null
      ? card(`${fixed(proxy.before)} → ${fixed(proxy.after)}`, 'score of the reward model', 'no other judge was asked')
      : card(
          `${fixed(gold.before)} → ${fixed(gold.after)}`,
          'gold score, 0 to 1',
          `reward model ${fixed(proxy.before)} → ${fixed(proxy.after)}`,
        );
  return html`<section class="verdict">
<h2>${sentence}</h2>
<div class="cards">
${card(percent(shown.value), 'of held-out prompts won against the original', `95 % interval ${range(shown)}, ${shown.n} prompts`)}
${scores}
${card(`${klPerSequence.toFixed(1)} nats`, 'moved from the original, an answer', `mean length ${length.before.toFixed(0)} → ${length.after.toFixed(0)} tokens`)}
</div>
${intervals(
  [
    ...(goldWinRate === null ? [] : [{ name: 'gold judge', colour: 'gold' as const, ...goldWinRate }]),
    { name: 'reward model', colour: 'proxy', ...proxyWinRate },
  ],
  { description: 'Win rates with intervals', x: 'win rate against the original', y: '', reference: 0.5, width: 760 },
)}
<p class="note">${goldWinRate === null ? PROXY_NOTE : GOLD_NOTE}</p>
</section>`;
}

function card(value: string, what: string, detail: string): Html {
  return html`<div class="card"><strong>${value}</strong><span>${what}</span><small>${detail}</small></div>`;
}

function training({ ppo }: ReportData): Html | null {
  if (ppo === undefined || ppo.length === 0) return null;
  const over = (name: string): Series['points'] => ppo.map((line) => [line.step, line[name] ?? Number.NaN]);
  const has = (name: string) => ppo.some((line) => Number.isFinite(line[name]));
  const figure = (title: string, picture: Html) => html`<figure><figcaption>${title}</figcaption>${picture}</figure>`;
  const one = (name: string, label: string, colour: Series['colour']) =>
    has(name)
      ? figure(label, curves([{ name: label, colour, points: over(name) }], { description: label, x: 'step', y: '' }))
      : null;
  return html`<section>
<h2>How it learned</h2>
<div class="figures">
${one(METRICS.proxy, 'Reward model’s score', 'proxy')}
${one(METRICS.gold, 'Gold score (watched, never trained on)', 'gold')}
${one(METRICS.kl, 'KL from the original, nats an answer', 'kl')}
${one(METRICS.length, 'Length, tokens', 'length')}
${one(METRICS.entropy, 'Entropy, nats a token', 'plain')}
${figure('What distance bought: reward model’s score', frontier(ppo, 'proxy'))}
${has(METRICS.gold) ? figure('What distance bought: gold score', frontier(ppo, 'gold')) : null}
</div>
</section>`;
}

/** PPO's metrics that are shown. */
export const METRICS = {
  proxy: 'reward/score',
  gold: 'scores/gold',
  kl: 'kl/sequence',
  length: 'completion/length',
  entropy: 'policy/entropy',
} as const;

/** Gao et al. (arXiv 2210.10760): scores against the square root of KL; gold that bends down is over-optimisation. */
function frontier(ppo: readonly MetricsLine[], judge: 'proxy' | 'gold'): Html {
  const from = (name: string): [number, number][] =>
    ppo.map((line) => [Math.sqrt(Math.max(0, line[METRICS.kl] ?? Number.NaN)), line[name] ?? Number.NaN]);
  const name = judge === 'gold' ? 'gold score' : 'reward model’s score';
  return path([{ name, colour: judge, points: from(METRICS[judge]) }], {
    description: `${name} against the square root of KL`,
    x: '√KL',
    y: '',
  });
}

function answers({ evaluation }: ReportData): Html | null {
  if (evaluation === undefined || evaluation.examples.length === 0) return null;
  return html`<section>
<h2>Answers before and after</h2>
<p class="note">The first of the held-out prompts; none was chosen.</p>
${evaluation.examples.map(answer)}
</section>`;
}

function answer({ prompt, before, after, gold, proxy }: SideBySide): Html {
  const judge = gold ?? proxy;
  const side = (title: string, text: string, at: 'before' | 'after', other: 'before' | 'after') =>
    html`<div class="${judge[at] > judge[other] ? 'answer won' : 'answer'}"><h4>${title}</h4><p>${text === '' ? '(nothing)' : text}</p><small>${gold === null ? '' : `gold ${fixed(gold[at])}, `}reward model ${fixed(proxy[at])}</small></div>`;
  return html`<article>
<h3>${prompt}</h3>
<div class="pair">
${side('original', before, 'before', 'after')}
${side('after', after, 'after', 'before')}
</div>
</article>`;
}

function rewardModel({ rewardModel: model }: ReportData): Html | null {
  if (model === undefined) return null;
  const { accuracy, ceiling, ece, lengthCorrelation } = model;
  return html`<section>
<h2>The reward model</h2>
<div class="cards">
${card(percent(accuracy.value), 'of held-out pairs ordered as the labellers did', `95 % interval ${range(accuracy)}, ${accuracy.n} prompts`)}
${card(ceiling === null ? 'unknown' : percent(ceiling), 'agreement among the labellers: the ceiling', 'two labellers, the same pair')}
${card(fixed(ece), 'calibration error', 'gap between confidence and accuracy; 0 is best')}
${card(fixed(lengthCorrelation), 'correlation of score and length', 'far from 0: it may reward length')}
</div>
</section>`;
}

function cost({ stages, versions }: ReportData): Html {
  const total = stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const peak = stages.reduce((most, { peakRssBytes }) => Math.max(most, peakRssBytes), 0);
  const rows = stages.map(
    ({ id, title, seconds }) =>
      html`<tr><td>${id}</td><td>${title}</td><td class="n">${duration(seconds * 1000)}</td><td class="bar"><i style="width:${((100 * seconds) / Math.max(total, 1e-9)).toFixed(1)}%"></i></td></tr>`,
  );
  const made = Object.entries(versions).map(([name, version]) => `${name} ${version ?? '?'}`);
  return html`<section>
<h2>What it cost</h2>
<table>
<thead><tr><th>stage</th><th></th><th class="n">time</th><th></th></tr></thead>
<tbody>${rows}</tbody>
<tfoot><tr><td>together</td><td>at most ${size(peak)} of memory</td><td class="n">${duration(total * 1000)}</td><td></td></tr></tfoot>
</table>
<p class="note">${made.join(', ')}</p>
</section>`;
}

function next({ next: items }: ReportData): Html | null {
  if (items.length === 0) return null;
  return html`<section>
<h2>How to go on</h2>
<dl>${items.map(({ command, does }) => html`<dt><code>${command}</code></dt><dd>${does}</dd>`)}</dl>
</section>`;
}

function range({ low, high }: Estimated): string {
  return `${(100 * low).toFixed(0)} to ${percent(high)}`;
}

function fixed(value: number): string {
  return value.toFixed(2).replace('-', '−');
}
