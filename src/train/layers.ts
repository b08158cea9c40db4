/** 12 of `model.layers.12.self_attn.q_proj` or `transformer.h.12.attn.c_attn.weight`; -1 for what is in no layer. */
export function layerOf(name: string): number {
  const found = /(?:^|\.)(?:layers|h)\.(\d+)\./.exec(name);
  return found === null ? -1 : Number(found[1]);
}
