// The smallest program that computes something: what startup.ts times.
import { torch } from '../../src/index.ts';

torch.ones([2]).add(1);
process.stdout.write('ready\n');
