/** Words as the rubric sees them: English, by simple rules, without a model. */

/** Letters and digits with inner apostrophes; lower case. */
export function wordsOf(text: string): string[] {
  return (text.match(/[\p{L}\p{N}]+(?:['’]\p{L}+)*/gu) ?? []).map((word) => word.toLowerCase().replaceAll('’', "'"));
}

/** Pieces that end with a full stop, question or exclamation mark, and what is left at the end. */
export function sentencesOf(text: string): string[] {
  return (text.match(/[^.!?…\n]+[.!?…]*["'”’)\]]*/gu) ?? []).map((piece) => piece.trim()).filter(hasWord);
}

function hasWord(text: string): boolean {
  return /\p{L}{2}/u.test(text) || /\b[aAiI]\b/.test(text);
}

/** Words that carry grammar rather than a topic: a third to two thirds of ordinary English. */
const FUNCTION_WORDS = new Set(
  `a about above after again against all almost already also although always am an and another any anyone anything are
  aren't around as at away back be because been before being below between both but by can can't cannot could couldn't did
  didn't do does doesn't doing don't down during each either else enough even ever every everyone everything few first for
  from further had has hasn't have haven't having he he's her here here's hers herself him himself his how how's however i
  i'd i'll i'm i've if in instead into is isn't it it's its itself just last least less let let's like lot many may maybe me
  might more most much must my myself need neither never no nor not nothing now of off often on once one only onto or other
  our ours ourselves out over own perhaps quite rather really same several shall she she's should shouldn't since so some
  someone something sometimes soon still such than that that's the their them themselves then there there's these they
  they're this those though through till to today together too toward towards under until up upon us usually very was wasn't
  we we'll we're we've well were what what's when where whether which while who whom whose why will with within without
  won't would wouldn't yes yet you you'd you'll you're you've your yours yourself`.split(/\s+/),
);

/** Words of a request that say what to do, not about what. */
const REQUEST_WORDS = new Set(
  `answer ask best better briefly describe explain give good help idea ideas know make please recommend short should suggest
  tell think thing things tip tips way ways write`.split(/\s+/),
);

export function isFunctionWord(word: string): boolean {
  return FUNCTION_WORDS.has(word);
}

/** Words that carry a topic, stemmed, each once. */
export function contentWords(words: readonly string[]): Set<string> {
  return new Set(words.filter((word) => word.length > 2 && !isFunctionWord(word)).map(stem));
}

/** What a request is about. */
export function topicWords(words: readonly string[]): Set<string> {
  return contentWords(words.filter((word) => !REQUEST_WORDS.has(word)));
}

/** Joins the common forms of a word (cook, cooks, cooking, cooked); rough, since only equality counts. */
export function stem(word: string): string {
  let root = word.replace(/'s$/, '');
  if (root.length > 4) root = root.replace(/(?:ies|ied)$/, 'y');
  if (root.length > 5) root = root.replace(/(?:ingly|ing|edly|ed|ly|er|est)$/, '');
  if (root.length > 3) root = root.replace(/(?:[^s](?=s$))s$/, (end) => end.slice(0, 1)).replace(/e$/, '');
  return root.replace(/([^aeiouls])\1$/, '$1');
}

/** Runs of n words, joined. */
export function ngrams(words: readonly string[], n: number): string[] {
  return words.slice(n - 1).map((_, start) => words.slice(start, start + n).join(' '));
}
