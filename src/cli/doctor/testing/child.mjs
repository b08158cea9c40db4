// Plays the process that loads the engine: does what its environment says, as a broken libtorch would.

const deed = process.env.CHILD_DEED;
if (deed === 'crash') process.kill(process.pid, 'SIGILL');
else if (deed === 'hang') setInterval(() => {}, 1000);
else if (deed === 'fail') throw new Error('libfoo.so.1: cannot open shared object file');
else process.send?.({ torch: '2.13.0' }, () => process.exit(0));
