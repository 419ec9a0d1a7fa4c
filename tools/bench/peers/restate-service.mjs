// Restate: a saga of three steps, and what undoes two of them, as a plain service.
import http2 from 'node:http2';
import * as restate from '@restatedev/restate-sdk';

// The SDK asks for a Node that has it; all sides of the bench run on the same one.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const saga = async (context, { fails }) => {
  try {
    await context.run('first', () => 1);
    await context.run('second', () => 1);
    await context.run('third', () => {
      if (fails) throw new restate.TerminalError('refused');
      return 1;
    });
    return 'done';
  } catch (error) {
    if (!(error instanceof restate.TerminalError)) throw error;
    await context.run('undo second', () => 1);
    await context.run('undo first', () => 1);
    return 'undone';
  }
};
const services = [restate.service({ name: 'bench', handlers: { saga } })];
const server = http2.createServer(restate.createEndpointHandler({ services }));
await new Promise((resolve) => server.listen(Number(process.env.BENCH_SERVICE_PORT), '127.0.0.1', resolve));
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
process.send({ type: 'ready' });
