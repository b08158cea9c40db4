/** A tiny wheel that pip takes for a package. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const SCRIPT = `
import json, sys, zipfile
path, name, version, files = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
info = "%s-%s.dist-info/" % (name, version)
files[info + "METADATA"] = "Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\nRequires-Dist: no-such-package-anywhere\\n" % (name.replace("_", "-"), version)
files[info + "WHEEL"] = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
files[info + "RECORD"] = "".join("%s,,\\n" % file for file in files)
with zipfile.ZipFile(path, "w") as archive:
    for file, text in files.items():
        archive.writestr(file, text)
`;

/** @returns Its path. */
export function makeWheel(folder: string, name: string, version: string, files: Record<string, string>): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}-${version}-py3-none-any.whl`);
  execFileSync('python3', ['-c', SCRIPT, path, name, version, JSON.stringify(files)]);
  return path;
}
