/** Files of models, whatever their format: where bytes come from, how a file is replaced in one step, text for errors. */

export { bytes, quote, quoteSome, showShape } from './describe.ts';
export { errorCode, ioFailed } from './io.ts';
export { type ByteSource, FileSource, readBytes } from './source.ts';
export { fileExists, syncDirectory, TemporaryFile } from './temporary.ts';
