/** 16-bit floats as JavaScript sees them: bits in, numbers out. */

let table: Float32Array | null = null;

/** The value of every float16, by its bits (256 KB, made on first use). */
export function halfTable(): Float32Array {
  if (table !== null) return table;
  table = new Float32Array(65_536);
  for (let bits = 0; bits < 65_536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const sign = bits < 32_768 ? 1 : -1;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent < 31) table[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25);
    else table[bits] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return table;
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The bits of the float16 nearest to a float32, ties to even; a NaN stays one. */
export function toHalf(value: number): number {
  float[0] = value;
  const bits = word[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is the first number that rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14: multiples of 2^-24. Adding 0.5 leaves the multiple, correctly rounded, in the last bits of a float32.
    float[0] = Math.abs(value) + 0.5;
    return sign | ((word[0] as number) - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}
