/** Where the fixtures stand that are not part of the repository; tests that need them skip where they are missing. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const sharedData: string = fileURLToPath(new URL('../../../../shared/data', import.meta.url));
export const hasSharedData: boolean = existsSync(`${sharedData}/fixtures/gguf_vocab`);
export const skipReason = 'the fixtures in ../shared/data are not there';
