/** A pull in a process of its own, which a test can kill: `node pull-child.ts NAME`; the environment says from where. */

import { resolveModel } from '../resolve.ts';

const model = await resolveModel(process.argv[2] ?? '', {
  onProgress: (event) => event.type === 'note' && process.stderr.write(`${event.text}\n`),
});
process.stdout.write(JSON.stringify(model));
