// Set-up of a checkout: `npm run setup`, and the first thing that `npm test` does. It needs nothing installed.
//
// What needs a newer Node is imported only after the check, so that an old one gets a message and no parse error.

const minimum = 18;

if (Number(process.versions.node.split('.')[0]) < minimum) {
  console.error(`Set-up failed. This Node is too old.
  expected: Node ${minimum} or newer
  received: ${process.versions.node}
  remedy:   install Node 24 from https://nodejs.org and run the same command again`);
  process.exit(1);
}

import('../src/setup/main.mjs')
  .then((setup) => setup.main(process.argv.slice(2)))
  .then((code) => {
    process.exitCode = code;
  });
