/** Models: for now their files. */

export * from './safetensors/index.ts';
