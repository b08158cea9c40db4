/**
 * What is checked before an hour is spent. Every problem found here has ruined runs that looked well: a model that never stops
 * (its ends were masked with the padding), one that learned nothing (empty masks), one that is shifted by a second beginning.
 */
import { describeTruncation, type TokenExample, type TokenReport } from '../data/index.ts';
import { NudgeError } from '../errors.ts';
import type { Tokenizer } from '../text/index.ts';

/** An error stops the run; a warning is told to the user. */
export interface Finding {
  readonly level: 'error' | 'warning';
  readonly text: string;
  readonly remedy: string;
}

export interface ExamplesToCheck {
  readonly tokenizer: Tokenizer;
  /** What the model will see; of preferences and rankings, every prompt with each of its completions. */
  readonly examples: readonly TokenExample[];
  /** What was shortened and dropped on the way. */
  readonly report: TokenReport;
  /** Names an example for messages. Default `row i`. */
  readonly nameOf?: (index: number) => string;
  /** Share of rows that may be shortened or dropped without a warning. Default 0.05. */
  readonly cutShare?: number;
}

/** All problems of a data set as the model will see it. */
export function checkExamples(input: ExamplesToCheck): Finding[] {
  const { tokenizer, report, cutShare = 0.05 } = input;
  return [
    ...padFindings(tokenizer),
    ...maskFindings(input),
    ...beginningFindings(input),
    ...endFindings(input),
    ...reportFindings(report, cutShare),
  ];
}

/** Whether the token at this place is learned. */
export function isTarget({ mask, completionStart }: TokenExample, index: number): boolean {
  return mask === undefined ? index >= completionStart : mask[index] === true;
}

/** Padding that also ends texts. Nudge packs sequences without padding; what it saves is padded by others. */
function padFindings(tokenizer: Tokenizer): Finding[] {
  try {
    if (tokenizer.padId !== tokenizer.eosId) return [];
    return [
      {
        level: 'warning',
        text: `The padding token is the end of text (id ${tokenizer.padId}): whoever masks padding masks every end.`,
        remedy: 'Choose another padding token when you open the model.',
      },
    ];
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    return [
      {
        level: 'warning',
        text: 'The tokenizer has no padding token of its own. Nudge packs sequences and needs none; other programs will.',
        remedy: error.remedy ?? 'Choose one when you open the model.',
      },
    ];
  }
}

function maskFindings({ examples, nameOf = rowName }: ExamplesToCheck): Finding[] {
  // The first token is no target, whatever the mask says: nothing stands before it that it could be predicted from.
  const empty = indicesOf(examples, (example) => !example.ids.some((_, i) => i > 0 && isTarget(example, i)));
  if (empty.length === 0) return [];
  return [
    {
      level: 'error',
      text: `Nothing is to be learned in ${describe(empty, examples.length, nameOf)}.`,
      remedy: 'Leave these rows out, or raise maxLength where their completions were cut off.',
    },
  ];
}

function beginningFindings({ tokenizer, examples, nameOf = rowName }: ExamplesToCheck): Finding[] {
  const { bosId } = tokenizer;
  const twice = indicesOf(examples, ({ ids }) => bosId !== undefined && ids[0] === bosId && ids[1] === bosId);
  if (twice.length === 0) return [];
  return [
    {
      level: 'error',
      text: `The beginning-of-text token stands twice at the start of ${describe(twice, examples.length, nameOf)}.`,
      remedy: `Take ${tokenizer.special.bos} out of the texts: it is added.`,
    },
  ];
}

function endFindings({ tokenizer, examples, report, nameOf = rowName }: ExamplesToCheck): Finding[] {
  const open = indicesOf(examples, (example) => {
    const last = example.ids.findLastIndex((_, i) => isTarget(example, i));
    return last >= 0 && !tokenizer.eosIds.includes(example.ids[last]!);
  });
  // Those that were cut here are told of below, and those that were sampled so are as they should be.
  if (open.length <= report.truncatedCompletions + report.openCompletions) return [];
  return [
    {
      level: 'warning',
      text: `No end-of-text token ends ${describe(open, examples.length, nameOf)}: the model does not learn to stop there.`,
      remedy: 'Set appendEos, or use a chat template that closes turns.',
    },
  ];
}

function reportFindings(report: TokenReport, cutShare: number): Finding[] {
  const findings: Finding[] = [];
  const { rows, boundaryMerges, truncatedPrompts, truncatedCompletions, droppedCompletions, dropped } = report;
  if (boundaryMerges > 0) {
    findings.push({
      level: 'warning',
      text:
        `Prompt and completion of ${boundaryMerges} of ${rows} rows have other tokens when encoded as one text. ` +
        'They are encoded apart, as when the model is asked.',
      remedy: 'Usual with prompts that end in a space: move it to the completion.',
    });
  }
  if (truncatedPrompts + truncatedCompletions + droppedCompletions + dropped > cutShare * rows) {
    findings.push({
      level: 'warning',
      text: `Many rows are too long. ${describeTruncation(report)}.`,
      remedy: 'Raise maxLength if memory allows, or leave long rows out.',
    });
  }
  return findings;
}

/**
 * Whether a score depends on what else is in the batch, as it does where padding is attended to or the last token is misplaced.
 *
 * @param together the scores of some sequences computed at once. @param alone each by itself.
 */
export function checkScores(together: readonly number[], alone: readonly number[], tolerance = 1e-3): Finding[] {
  const scale = Math.max(1, ...alone.map(Math.abs));
  const apart = together.map((score, i) => Math.abs(score - alone[i]!));
  const worst = apart.indexOf(Math.max(...apart));
  if (apart.every((difference) => difference <= tolerance * scale)) return [];
  return [
    {
      level: 'error',
      text: `A score depends on its batch: sequence ${worst} has ${together[worst]} among others and ${alone[worst]} by itself.`,
      remedy: 'This must not be: please report it with the model and the sequence.',
    },
  ];
}

/** Tells the warnings, and throws the errors. @throws NudgeError BAD_ARGUMENT with all errors at once. */
export function requireFit(findings: readonly Finding[], note: (text: string) => void): void {
  for (const { level, text, remedy } of findings) if (level === 'warning') note(`${text} ${remedy}`);
  const errors = findings.filter(({ level }) => level === 'error');
  if (errors.length === 0) return;
  throw new NudgeError('BAD_ARGUMENT', errors.map(({ text }) => text).join(' '), {
    remedy: errors.map(({ remedy }) => remedy).join(' '),
  });
}

const rowName = (index: number): string => `row ${index}`;

function indicesOf(examples: readonly TokenExample[], test: (example: TokenExample) => boolean): number[] {
  return examples.flatMap((example, i) => (test(example) ? [i] : []));
}

function describe(indices: readonly number[], total: number, nameOf: (index: number) => string): string {
  const shown = indices.slice(0, 5).map(nameOf).join(', ');
  return `${indices.length} of ${total} sequences (${shown}${indices.length > 5 ? ', ...' : ''})`;
}
