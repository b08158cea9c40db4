/** GPT-2's alphabet of bytes: every byte as a printable character, as byte-level vocabularies spell their tokens. */

const PRINTABLE: readonly (readonly [number, number])[] = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
];

/** Byte to character. */
export const BYTE_TO_CHAR: readonly string[] = makeAlphabet();

/** Character code to byte; -1 for characters that stand for no byte. */
export const CHAR_TO_BYTE: Int16Array = makeInverse();

function makeAlphabet(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = PRINTABLE.some(([low, high]) => byte >= low && byte <= high);
    return String.fromCharCode(printable ? byte : next++);
  });
}

function makeInverse(): Int16Array {
  const inverse = new Int16Array(0x200).fill(-1);
  BYTE_TO_CHAR.forEach((char, byte) => {
    inverse[char.charCodeAt(0)] = byte;
  });
  return inverse;
}

/** Bytes, spelled in the alphabet. */
export function spellBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += BYTE_TO_CHAR[byte];
  return text;
}

/** The bytes that a token spells, or undefined when one of its characters stands for no byte. */
export function readBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = CHAR_TO_BYTE[token.charCodeAt(i)] ?? -1;
    if (byte < 0) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** The byte of a SentencePiece byte token such as `<0x0A>`, or -1. */
export function byteOfToken(token: string): number {
  return /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : -1;
}

/** SentencePiece's token for a byte. */
export function tokenOfByte(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}
