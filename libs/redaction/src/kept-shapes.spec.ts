import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';

/** `some` itself is what a redaction must not be: it relies on a shape of which nothing outlives it. */
const PROGRAM = `
  import { redact } from '${new URL('./redact.js', import.meta.url).href}';
  const options = { key: Buffer.alloc(32, 7), tenant: 'acme' };
  const event = { text: 'call 1234567', note: 'Deployed by Jane Example at 12:05 from 192.0.2.7.', id: 'a1' };
  let sum = 0;
  const some = () => { for (let i = 0; i < 100; i++) { redact(event, options); sum += JSON.parse('{"own":1}').own; } };
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 100; i++) some();
    for (let i = 0; i < 8; i++) gc();
  }
`;

/** Functions of every redaction; Node.js loses some of its own. */
const OF_A_REDACTION =
  /^(?:work|plansFor|collect|check|planOf|plan|scan|detect|add|find|merge|mergeFound|value|of|chain|judge|#text|#object|#cut|#replace|#make)$/;

it('a redaction is as quick after garbage collections as before: none of its optimised code is given up', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--expose-gc',
    '--trace-deopt',
    '--input-type=module',
    '--eval',
    PROGRAM,
  ]);
  const given = stdout.split('\n').filter((line) => line.includes('weak objects'));
  const names = given.map((line) => /SharedFunctionInfo ([^>]*)>/.exec(line)?.[1] ?? line);
  expect(names).toContain('some');
  expect(names.filter((name) => OF_A_REDACTION.test(name))).toEqual([]);
});
