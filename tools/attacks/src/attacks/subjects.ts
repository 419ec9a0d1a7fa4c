/** Names that would be other subjects of NATS if they were taken as they are, and addresses that lead elsewhere. */
import { call, echo, mcp, report, session, type Answer, type Attack } from '../attack.js';
import type { Target } from '../target.js';

const noTool = { status: 200, code: 'unknown_action' };
const noTask = { status: 200, code: -32602 };
const noCommand = { status: 200, code: 'not_found' };
const noSession = { status: 404, code: -32001 };
const noResource = { status: 200, code: -32602 };
const invalid = { status: 200, code: 'invalid_arguments' };

const tool = (name: string, what: string): Attack => ({
  name: `a tool that is ${what}`,
  attempt: (target) => call(target, name, {}),
  refused: noTool,
});
/** Legal, and one token of a subject, whatever it holds. */
const key = (value: string, what: string): Attack => ({
  name: `an ordering key that is ${what}`,
  attempt: (target) => echo(target, { meta: { 'io.callboard/ordering_key': value } }),
  refused: { status: 200 },
  stored: 'own',
});
const read = (uri: string, what: string, refused: Attack['refused'] = noResource): Attack => ({
  name: `a resource that is ${what}`,
  attempt: (target) => mcp(target, 'resources/read', { uri }),
  refused,
});

export const SUBJECTS: Attack[] = [
  tool('*', 'a wildcard'),
  tool('>', 'the wildcard of all the rest'),
  tool('demo.*', 'a wildcard within a name'),
  tool('demo.>', 'all of a namespace'),
  tool('demo..echo', 'an empty token'),
  tool('.demo.echo', 'an empty token before a name'),
  tool('demo.echo.', 'a name with a dot at its end'),
  tool('$SYS.REQ.ACCOUNT.PING', 'a subject of the server'),
  tool('$JS.API.STREAM.DELETE.COMMANDS', "a subject of JetStream's API"),
  tool('demo.echo\0', 'a name with NUL'),
  tool('demo.echo\r\nPUB out.globex.x 2', 'a name with a line end and a command of NATS'),
  tool('demo.echo ', 'a name with a space'),
  tool('ｄemo.echo', 'a name in other letters that look alike'),
  tool('demo.e\u0441ho', 'a name with a Cyrillic letter'),
  tool('DEMO.ECHO', 'a name in capitals'),
  tool('demo%2Eecho', 'a name in percent encoding'),
  tool('__proto__', 'a prototype'),
  tool('constructor', 'a constructor'),
  tool('toString', 'a method of every object'),
  tool(`demo.${'x'.repeat(10_000)}`, 'a name of ten thousand characters'),
  tool('callboard.admin', 'a name that is ours to give'),
  key('*', 'a wildcard'),
  key('>', 'the wildcard of all the rest'),
  key('a.b.c', 'three tokens'),
  key('globex.demo.echo.k.c_1', "the rest of another tenant's subject"),
  key('k\0k', 'text with NUL'),
  key('k\r\nPUB out.globex.c_1 2\r\n{}', 'a line end and a command of NATS'),
  key('%', 'how the empty text is written'),
  key('%2E', 'how a dot is written'),
  key(' ', 'a space'),
  key('\u202egnirts', 'text that turns around'),
  key('💣'.repeat(64), 'sixty-four bombs'),
  {
    name: 'an idempotency key that is a wildcard',
    attempt: (t) => echo(t, { meta: { 'io.callboard/idempotency_key': '>' } }),
    refused: { status: 200 },
    stored: 'own',
  },
  {
    name: 'a saga that is a wildcard',
    attempt: (t) => echo(t, { meta: { 'io.callboard/saga_id': 'globex.>', 'io.callboard/saga_step': '*' } }),
    refused: { status: 200, code: 'invalid_messaging_field' },
  },
  { name: 'a task that is a wildcard', attempt: (t) => mcp(t, 'tasks/get', { taskId: '*' }), refused: noTask },
  { name: 'cancelling all tasks', attempt: (t) => mcp(t, 'tasks/cancel', { taskId: '>' }), refused: noTask },
  {
    name: "a task in another tenant's subject",
    attempt: (t) => mcp(t, 'tasks/get', { taskId: `globex.${t.vera.taskId}` }),
    refused: noTask,
  },
  {
    name: 'a task whose id is half a surrogate pair',
    attempt: (t) => mcp(t, 'tasks/get', { taskId: '\ud800' }, { headers: { 'mcp-name': '=?base64?7aCA?=' } }),
    refused: { status: 400, code: -32020 },
  },
  {
    name: 'the result of every command',
    attempt: (t) => call(t, 'callboard.result', { correlation_id: '*', wait_ms: 0 }),
    refused: noCommand,
  },
  {
    name: 'a subscription that is a wildcard',
    attempt: (t) => call(t, 'events.poll', { name: '*', wait_ms: 0 }),
    refused: invalid,
  },
  {
    name: 'a subscription that climbs',
    attempt: (t) => call(t, 'events.subscribe', { name: '../vera-incidents' }),
    refused: invalid,
  },
  {
    name: 'subscribing to every source by a wildcard',
    attempt: (t) => call(t, 'events.subscribe', { name: 'all', sources: ['>'] }),
    refused: invalid,
  },
  {
    name: 'a filter that is code',
    attempt: (t) => call(t, 'events.subscribe', { name: 'code', filters: [{ sql: "1=1 OR tenant='globex'" }] }),
    refused: invalid,
  },
  { name: 'a session that is a wildcard', attempt: (t) => session(t, '*'), refused: noSession },
  { name: 'a session that is all of them', attempt: (t) => session(t, '>', { method: 'DELETE' }), refused: noSession },
  { name: 'a session in a subject', attempt: (t) => session(t, `x.${t.vera.sessionId}`), refused: noSession },
  {
    name: 'a report about a command in a subject',
    attempt: (t) => report(t, `x.${t.callbacks.open.correlation_id}`, t.callbacks.open.callback.token),
    refused: { status: 404, code: 'not_found' },
  },
  read('event://*/incident', 'every source'),
  read('event://acme/>', 'every topic, by the wildcard of NATS'),
  read('event://globex%2Fincident', 'a source that takes in its topic'),
  read('event://acme/../globex/incident', 'an address that climbs'),
  read('file:///etc/passwd', 'a file of the machine'),
  read('http://169.254.169.254/latest/meta-data/', 'the metadata service of a cloud'),
  read('http://127.0.0.1:8222/varz', "the server's own monitoring"),
  read('data:text/plain,x', 'data'),
  read('__proto__', 'a prototype'),
];

/** Whoever answers for an adapter may say where to go instead; nobody goes there. */
const led = (name: string, attempt: (target: Target) => Promise<Answer>): Attack => ({
  name,
  attempt: async (target) => {
    const before = target.farSide.inside;
    const answer = await ended(target, await attempt(target));
    const came = target.farSide.inside - before;
    return came === 0 ? answer : { status: answer.status, code: `${came} requests to the inside`, text: answer.text };
  },
  refused: { status: 200, code: 'action_failed' },
  stored: 'own',
});

/** What a call ended with that took longer than the front end waits: it was answered with a task. */
async function ended(target: Target, answer: Answer): Promise<Answer> {
  const id = /"taskId":"([^"]+)"/.exec(answer.text)?.[1];
  return id === undefined ? answer : call(target, 'callboard.result', { correlation_id: id, wait_ms: 20_000 });
}

export const ELSEWHERE: Attack[] = [
  led('a far side that redirects its caller to the inside', (t) => call(t, 'far.redirect', {})),
  led('a far side that redirects the one who brings it a command', (t) => call(t, 'far.redirect-later', {})),
  led('a far side that is given another address among the arguments', (t) =>
    call(t, 'far.redirect', { url: `${t.farSide.url}/inside`, callback: { url: `${t.farSide.url}/inside` } }),
  ),
  led('a far side that is given another address in _meta', (t) =>
    call(t, 'far.redirect', {}, { meta: { 'io.callboard/results_url': `${t.farSide.url}/inside` } }),
  ),
];
