import { describe, expect, it } from 'vitest';
import type { ReportData } from './data.ts';
import { escapeHtml, html, trusted } from './html.ts';
import { renderReport } from './page.ts';

const share = (value: number) => ({ value, low: value - 0.1, high: value + 0.1, n: 64 });

const DATA: ReportData = {
  name: 'quickstart',
  model: 'tiny',
  seed: 1,
  finishedAt: '2026-01-02T03:04:05.000Z',
  versions: { node: '24.0.0', torch: null },
  stages: [{ id: 'ppo', title: 'learning', seconds: 65, peakRssBytes: 2e9, metrics: {} }],
  rewardModel: { accuracy: share(0.7), ceiling: null, ece: 0.05, lengthCorrelation: -0.25 },
  ppo: [1, 2, 3].map((step) => ({
    step,
    'reward/score': step / 10,
    'scores/gold': 0.4 + step / 20,
    'kl/sequence': step,
    'completion/length': 40,
  })),
  evaluation: {
    goldWinRate: share(0.7),
    proxyWinRate: share(0.8),
    gold: { before: 0.4, after: 0.6 },
    proxy: { before: 0, after: 1 },
    klPerSequence: 5.25,
    length: { before: 40, after: 30 },
    diversity: { before: 0.9, after: 0.8 },
    examples: [
      {
        prompt: 'Why <b>?',
        before: '<script>alert(1)</script>',
        after: '" onmouseover="alert(2)',
        gold: { before: 0.2, after: 0.9 },
        proxy: { before: -1, after: 1 },
      },
    ],
  },
  next: [{ command: 'nudge chat tiny', does: 'talk with it' }],
};

describe('the report', () => {
  const page = renderReport(DATA);

  it('says first whether the answers got better, with its interval', () => {
    expect(page).toContain('The answers got better');
    expect(page).toContain('95 % interval 60 to 80 %, 64 prompts');
    expect(page).toContain('5.3 nats');
  });

  it.each([
    [share(0.7), 'The answers got better'],
    [share(0.55), 'No difference is certain'],
    [share(0.3), 'The answers got worse'],
  ])('does not claim more than the interval allows', (goldWinRate, sentence) => {
    expect(renderReport({ ...DATA, evaluation: { ...DATA.evaluation!, goldWinRate } })).toContain(sentence);
  });

  it("never passes the reward model's opinion off as somebody else's", () => {
    const { examples, ...rest } = DATA.evaluation!;
    const alone = renderReport({
      ...DATA,
      evaluation: { ...rest, goldWinRate: null, gold: null, examples: examples.map((one) => ({ ...one, gold: null })) },
    });
    expect(alone).toContain('by the reward model.');
    expect(alone).toContain('no other judge was asked');
    expect(alone).not.toMatch(/gold judge|gold score, 0 to 1|never saw\./i);
  });

  it('shows what models wrote as text, never as markup', () => {
    expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(page).toContain('&quot; onmouseover=&quot;');
    expect(page).not.toMatch(/<script|onmouseover="/);
  });

  it('needs nothing from elsewhere', () => {
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/(src|href)="https?:/);
    expect(page).not.toContain('@import');
  });

  it('draws a figure for each curve that was measured, and none for others', () => {
    expect(page.match(/<svg /g)).toHaveLength(7);
    const without = renderReport({ ...DATA, ppo: DATA.ppo!.map(({ 'scores/gold': _, ...line }) => line as never) });
    expect(without.match(/<svg /g)).toHaveLength(5);
    expect(without).not.toContain('Gold score (watched');
  });

  it('leaves out what the run does not have', () => {
    const { rewardModel: _, ppo: __, evaluation: ___, ...bare } = DATA;
    const page = renderReport(bare);
    expect(page).toContain('What it cost');
    expect(page).not.toContain('Answers before and after');
  });
});

describe('html', () => {
  it('escapes texts, keeps markup, joins lists and leaves null out', () => {
    const rows = ['<', '&'].map((text) => html`<li>${text}</li>`);
    expect(html`<ul>${rows}${null}${trusted('<hr>')}${3}</ul>`.text).toBe('<ul><li>&lt;</li><li>&amp;</li><hr>3</ul>');
    expect(escapeHtml(`<a href="x">'&'</a>`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;');
  });
});
