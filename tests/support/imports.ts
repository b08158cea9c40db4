/** What a module imports, read from its source: enough of a tokenizer to tell code from comments, strings and regular expressions. */

export interface Import {
  specifier: string;
  /** Gone at run time: `import type`, `export type`, or braces that hold nothing but `type` names. */
  typeOnly: boolean;
  /** `import('...')`: evaluated when the code runs, if ever. */
  dynamic: boolean;
}

type Token = { kind: 'word' | 'string' | 'mark'; text: string };

/** After these a slash begins a regular expression; after a name, a number, or a closing bracket it divides. */
const BEFORE_EXPRESSION = /^(return|typeof|case|in|of|delete|void|throw|new|do|else|await|yield|instanceof)$/;

function divides(last: Token | undefined): boolean {
  if (last === undefined) return false;
  if (last.kind === 'word') return !BEFORE_EXPRESSION.test(last.text);
  return last.kind === 'string' || last.text === ')' || last.text === ']' || last.text === '}';
}

/** Words, strings (without escapes resolved) and single punctuation marks; the code inside template literals too. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const text = pattern.exec(source)?.[0];
    if (text !== undefined) at += text.length;
    return text;
  };
  /** A template literal from behind its backtick; what stands in `${}` is code. */
  const template = (): void => {
    let text = '';
    while (at < source.length) {
      text += take(/(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y) ?? '';
      if (take(/`/y) !== undefined) break;
      if (take(/\$\{/y) === undefined) break;
      code(true);
    }
    tokens.push({ kind: 'string', text });
  };
  /** Code up to the end, or up to the brace that closes a `${`. */
  const code = (insideTemplate: boolean): void => {
    let depth = 0;
    while (at < source.length) {
      if (take(/\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\//y) !== undefined) continue;
      const quoted = take(/'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y);
      if (quoted !== undefined) {
        tokens.push({ kind: 'string', text: quoted.slice(1, -1) });
        continue;
      }
      if (take(/`/y) !== undefined) {
        template();
        continue;
      }
      const word = take(/[\p{L}\p{N}_$#]+/uy);
      if (word !== undefined) {
        tokens.push({ kind: 'word', text: word });
        continue;
      }
      if (
        source[at] === '/' &&
        !divides(tokens.at(-1)) &&
        take(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y)
      ) {
        tokens.push({ kind: 'string', text: '' });
        continue;
      }
      const mark = source[at++] as string;
      if (mark === '{') depth++;
      if (mark === '}' && insideTemplate && depth-- === 0) return;
      tokens.push({ kind: 'mark', text: mark });
    }
  };
  code(false);
  return tokens;
}

/** The imports of a module in the order in which they stand, re-exports included. */
export function importsOf(source: string): Import[] {
  const tokens = tokenize(source);
  const found: Import[] = [];
  const text = (i: number): string | undefined => (tokens[i]?.kind === 'string' ? undefined : tokens[i]?.text);
  for (let i = 0; i < tokens.length; i++) {
    const word = text(i);
    if ((word !== 'import' && word !== 'export') || text(i - 1) === '.' || text(i + 1) === ':') continue;
    if (word === 'import' && text(i + 1) === '(') {
      const specifier = tokens[i + 2];
      // `typeof import('x')` and `import('x').Name` in a type look alike; the second counts as code, to be safe.
      if (specifier?.kind === 'string') {
        found.push({ specifier: specifier.text, typeOnly: text(i - 1) === 'typeof', dynamic: true });
      }
      continue;
    }
    const declaration = readDeclaration(tokens, i);
    if (declaration !== null) found.push(declaration);
  }
  return found;
}

/** `import 'x'`, `import ... from 'x'` or `export ... from 'x'` that begins at a token; null for an export of something here. */
function readDeclaration(tokens: readonly Token[], start: number): Import | null {
  const isImport = tokens[start]?.text === 'import';
  const first = tokens[start + 1];
  if (isImport && first?.kind === 'string') return { specifier: first.text, typeOnly: false, dynamic: false };
  let i = start + 1;
  // `type` is a keyword here unless it is itself the name that is imported: `import type from 'x'`, `import type, { a } from 'x'`.
  const isName = tokens[i + 1]?.text === ',' || (tokens[i + 1]?.text === 'from' && tokens[i + 2]?.kind === 'string');
  const marksType = first?.text === 'type' && !isName;
  if (marksType) i++;
  let names = 0;
  let types = 0;
  let braces = false;
  for (; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    const next = tokens[i + 1];
    if (token.kind === 'word' && token.text === 'from' && next?.kind === 'string') {
      const onlyTypes = braces && names > 0 && names === types;
      return { specifier: next.text, typeOnly: marksType || onlyTypes, dynamic: false };
    }
    if (token.kind === 'string' && !braces) return null;
    if (token.kind === 'mark') {
      if (token.text === '{') {
        braces = true;
        [names, types] = countNames(tokens, i + 1, names);
        while (i < tokens.length && tokens[i]?.text !== '}') i++;
      } else if (token.text !== '*' && token.text !== ',') return null;
    } else if (token.text !== 'as' && token.kind === 'word') {
      // An export of something declared here: `export const`, `export function`, `export default`, ...
      if (!isImport && tokens[start + 1]?.text !== '*' && !marksType) return null;
      if (!braces) names++;
    }
  }
  return null;
}

/** The names between braces, and how many of them are marked `type`. */
function countNames(tokens: readonly Token[], start: number, before: number): [names: number, types: number] {
  let names = before;
  let types = 0;
  let fresh = true;
  for (let i = start; i < tokens.length && tokens[i]?.text !== '}'; i++) {
    const token = tokens[i] as Token;
    if (token.text === ',' && token.kind === 'mark') fresh = true;
    else if (fresh) {
      names++;
      fresh = false;
      const next = tokens[i + 1];
      // `{ type A }` is marked; `{ type }`, `{ type, A }` and `{ type as A }` import something called `type`.
      if (token.text === 'type' && next?.kind === 'word' && next.text !== 'as') types++;
      else if (token.text === 'type' && next?.text === 'as' && tokens[i + 2]?.text === 'as') types++;
    }
  }
  return [names, types];
}
