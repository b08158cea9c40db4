import { describe, expect, it } from 'vitest';
import { errorOf } from '../../../tests/support/errors.ts';
import { goldScore, RUBRICS, RubricSchema, rubricFeatures } from './rubric.ts';

const COOK = 'How do I stay motivated when learning to cook?';
const DOG = 'My dog is afraid of thunder. What can I do?';

const GOOD =
  'You can do this! Start with one simple recipe you love and enjoy how your cooking gets better every week.';

/** What a rubric must make of answers, best first within a block; every score of a block lies in its range. */
const TABLE: { what: string; from: number; to: number; answers: [prompt: string, answer: string][] }[] = [
  {
    what: 'warm, to the point and finished',
    from: 0.75,
    to: 1,
    answers: [
      [COOK, GOOD],
      [
        COOK,
        'Cook one easy dish a week and note what went well. Small wins will keep you motivated, and good food is fun.',
      ],
      [
        DOG,
        'Stay calm and keep your dog close when thunder comes. A safe, cosy corner and a favourite toy help it relax.',
      ],
      [
        'I failed my exam today.',
        'Every great student has a bad exam now and then. Rest tonight, make a good plan, and I trust you will pass with joy.',
      ],
    ],
  },
  {
    what: 'right in most ways, but flat in tone, broken off or too long',
    from: 0.4,
    to: 0.75,
    answers: [
      [
        COOK,
        'Learning to cook takes time. Pick a recipe from a book and repeat it until it works, then take the next one.',
      ],
      [
        COOK,
        'Staying motivated when learning to cook is easier with friends. Start with a small recipe that you love, and then',
      ],
      [
        DOG,
        `Dogs are often afraid of thunder, since it is loud and comes without a warning. There are many things that you can
        do about it. First of all you can close the windows and the curtains, so that less of the noise comes in. After that
        you can put on some music. Then you can take the dog to a room in the middle of the house, and stay there for a while.`,
      ],
    ],
  },
  {
    what: 'beside the topic, hostile, or with nothing to say',
    from: 0.1,
    to: 0.5,
    answers: [
      [
        COOK,
        'You are doing wonderfully and I am proud of you. Keep going, and enjoy every step, because you are amazing.',
      ],
      [COOK, 'The moon is a bright and beautiful place that many people love. It is good to look at it with a friend.'],
      [
        COOK,
        'Cooking is a waste of time and you are a terrible failure. Give up, eat something disgusting and cry, you idiot.',
      ],
      [COOK, 'I do not know.'],
    ],
  },
  {
    what: 'degenerate',
    from: 0,
    to: 0.05,
    answers: [
      [COOK, ''],
      [COOK, '   \n '],
      [COOK, '...'],
      [COOK, '!!!!!!!!'],
      [COOK, 'Yes.'],
      [COOK, 'I love to cook. I love to cook. I love to cook. I love to cook. I love to cook. I love to cook.'],
      [COOK, 'you can do it you can do it you can do it you can do it you can do it you can do it you can do it.'],
      [COOK, GOOD.toUpperCase()],
      [COOK, 'Great! Wonderful! Happy! Love! Excellent! Amazing! Fantastic! Superb! Brilliant! Perfect! Lovely!'],
      [COOK, 'great happy love wonderful cook motivated learning joy best win nice kind sweet fun smile.'],
      [COOK, COOK],
      [COOK, '😀😀😀😀 cook 😀😀😀 motivated 😀😀'],
      [COOK, '## Steps\n- **Cook**\n- **Learn**\n- **Stay**\n- **Motivated**\n- **Enjoy**\n- **Repeat**'],
      [DOG, 'Salve sedfacionem auctor et commodo posuere consequat temporelem abdicationibus meliorea.'],
    ],
  },
];

describe('goldScore', () => {
  for (const { what, from, to, answers } of TABLE) {
    it.each(answers)(`gives ${from} to ${to} to an answer that is ${what}: %s / %s`, (prompt, answer) => {
      const score = goldScore(prompt, answer);
      expect(score).toBeGreaterThanOrEqual(from);
      expect(score).toBeLessThanOrEqual(to);
    });
  }

  it('reads messages as it reads texts', () => {
    const prompt = [
      { role: 'system', content: 'You are a pirate.' },
      { role: 'user', content: COOK },
    ];
    expect(goldScore(prompt, [{ role: 'assistant', content: GOOD }])).toBe(goldScore(COOK, GOOD));
    expect(goldScore(COOK, [...prompt, { role: 'assistant', content: GOOD }])).toBe(goldScore(COOK, GOOD));
  });

  it('is not moved by exclamation marks, capitals in a word, or more praise than enough', () => {
    const calm = GOOD.replaceAll('!', '.');
    expect(goldScore(COOK, `${GOOD}!`)).toBe(goldScore(COOK, GOOD));
    expect(goldScore(COOK, calm)).toBe(goldScore(COOK, GOOD));
    expect(rubricFeatures(COOK, GOOD.replace('love', 'LOVE')).sentiment).toBe(rubricFeatures(COOK, GOOD).sentiment);
    const praise = `${GOOD} It is great.`;
    expect(goldScore(COOK, praise)).toBeLessThanOrEqual(1);
    expect(goldScore(COOK, praise) - goldScore(COOK, GOOD)).toBeLessThan(0.15);
  });

  it('loses the weight of a goal with the goal: a full stop is worth its 0.3', () => {
    const whole = `${GOOD.slice(0, -1)} and stay motivated.`;
    expect(goldScore(COOK, whole) - goldScore(COOK, whole.slice(0, -1))).toBeCloseTo(0.3, 10);
    expect(rubricFeatures(COOK, `${GOOD.slice(0, -1)}...`).complete).toBe(0.25);
    expect(rubricFeatures(COOK, 'There are three ways that help: 1.').complete).toBe(0);
    expect(rubricFeatures(COOK, 'He said: "Cook with your friends."').complete).toBe(1);
  });

  it('falls smoothly with the length: 36 words are whole, 53 half, 70 nothing', () => {
    const words = (n: number) => Array.from({ length: n }, (_, i) => `the${i}`).join(' ');
    expect(rubricFeatures('', words(36)).concise).toBe(1);
    expect(rubricFeatures('', words(53)).concise).toBeCloseTo(0.5, 10);
    expect(rubricFeatures('', words(70)).concise).toBe(0);
    expect(rubricFeatures('', words(7)).concise).toBeCloseTo(0.5, 10);
  });

  it('stays between 0 and 1 for anything, and judges long texts by their beginning', () => {
    const odd = [
      '\0',
      '\ud800',
      'x'.repeat(100_000),
      'a b '.repeat(100_000),
      '"; drop table judgements; --',
      '<b>hi</b>',
    ];
    for (const answer of odd) {
      const score = goldScore(COOK, answer);
      expect(score).toBeGreaterThanOrEqual(0);
      expect(score).toBeLessThanOrEqual(0.2);
    }
  });
});

describe('rubrics', () => {
  const LONG = `Learning to cook well is a matter of habit. Choose three dishes, buy what they need on one day, and cook them on
    fixed evenings, so that you need not decide each time. Write down what went wrong and change one thing at a time. After a
    month you have three dishes that you can make without a book, and that will keep you motivated for the next three.`;
  const SHORT = 'Cook one dish you love every week to stay motivated.';

  it('differ in what they want', () => {
    expect(goldScore(COOK, SHORT, 'concise')).toBeGreaterThan(goldScore(COOK, LONG, 'concise') + 0.3);
    expect(goldScore(COOK, LONG, 'helpful')).toBeGreaterThan(goldScore(COOK, SHORT, 'helpful') + 0.2);
    const warm =
      'Your cooking is wonderful. I love how motivated you are when you make dinner for the rest of us every week.';
    const sober =
      'Cooking is learned by repetition. Choose three dishes and make each of them every week to stay motivated.';
    expect(goldScore(COOK, warm)).toBeGreaterThan(goldScore(COOK, sober));
    expect(goldScore(COOK, warm, 'matterOfFact')).toBeLessThan(goldScore(COOK, sober, 'matterOfFact'));
  });

  it('may be your own', () => {
    const only = { weights: { sentiment: 0, concise: 0, complete: 5 }, gates: { fluent: 0 } };
    // Complete, but with nothing in it that speaks to anything: 1 - 0.6 is left.
    expect(goldScore('', 'that is what it is.', only)).toBeCloseTo(0.4, 10);
    expect(RubricSchema.parse({})).toEqual(RUBRICS.encouraging);
  });

  it('are refused with the field when they do not fit', () => {
    const refusal = (rubric: object | string) => errorOf(() => goldScore(COOK, GOOD, rubric as object));
    expect(refusal('kind')).toMatchObject({ code: 'BAD_ARGUMENT', expected: expect.stringContaining('encouraging') });
    expect(refusal('__proto__').code).toBe('BAD_ARGUMENT');
    expect(refusal({ weigths: {} }).received).toMatch(/weigths/);
    expect(refusal({ weights: { sentiment: 0, concise: 0, complete: 0 } }).received).toMatch(/a weight above 0/);
    expect(refusal({ band: { low: 50 } }).received).toMatch(/none < low <= high/);
  });
});
