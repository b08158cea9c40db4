/** Scalars that a JavaScript number cannot say. */

/** A number that is to be a floating-point scalar even when it is integral: Python's `2.0`. */
export class FloatScalar {
  readonly float: number;
  constructor(float: number) {
    this.float = float;
  }
}

/** A complex scalar. */
export class ComplexScalar {
  readonly re: number;
  readonly im: number;
  constructor(re: number, im: number) {
    this.re = re;
    this.im = im;
  }
}

export type Scalar = number | bigint | boolean | FloatScalar | ComplexScalar;
