import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';

/** The optimised code of `ask` relies on `kept.text` never changing; the engine reads `principal` while it works out the answer. */
const PROGRAM = `
  import * as cedar from '${new URL('./cedar.js', import.meta.url).href}';
  class Kept { constructor(text) { this.text = text; } }
  const kept = new Kept('before');
  let meanwhile = () => {};
  const request = {
    get principal() { meanwhile(); return { type: 'User', id: 'ada' }; },
    action: { type: 'Action', id: 'call' },
    resource: { type: 'Tool', id: 'git.push' },
    context: {},
    entities: [],
    policies: { staticPolicies: 'permit(principal, action, resource);' },
  };
  function ask() { return [cedar.isAuthorized(request).response.decision, kept.text]; }
  %PrepareFunctionForOptimization(ask);
  for (let i = 0; i < 50; i++) ask();
  %OptimizeFunctionOnNextCall(ask);
  ask();
  meanwhile = () => { kept.text = 'after'; };
  process.stdout.write(ask().join(' '));
`;

it('answers when the code that asked is given up by the compiler meanwhile', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--allow-natives-syntax',
    '--input-type=module',
    '--eval',
    PROGRAM,
  ]);
  expect(stdout).toBe('allow after');
});
