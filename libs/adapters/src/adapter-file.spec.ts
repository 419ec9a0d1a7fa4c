import { describe, expect, it } from '@jest/globals';
import { AdapterFileError, parseAdapterFile } from './adapter-file.js';

const parse = (text: string, env = {}) => parseAdapterFile(text, '/etc/callboard/adapters.yaml', env);

describe('an adapter file', () => {
  it('has defaults for everything but what only its author knows', () => {
    const file = parse(`
actions:
  - id: git.clone
    description: Clones
    input: { type: object }
    http: { url: 'http://127.0.0.1:5000/endpoint' }
mcp_servers:
  - name: files
    stdio: { command: mcp-files }
`);
    expect(file.actions[0]!.http).toEqual({
      url: 'http://127.0.0.1:5000/endpoint',
      headers: {},
      answer: 'callback',
      timeout_ms: 10_000,
      retryable_statuses: [429, 503],
    });
    expect(file.mcp_servers[0]).toEqual({
      name: 'files',
      prefix: 'files',
      stdio: { command: 'mcp-files', args: [], env: {}, cwd: '/etc/callboard' },
      include: ['*'],
      exclude: [],
      pin: '/etc/callboard/files.pin.json',
      on_drift: 'warn',
      connect_timeout_ms: 10_000,
      tools: {},
    });
  });

  it('may be empty', () => {
    expect(parse('')).toMatchObject({ actions: [], mcp_servers: [] });
  });

  it('takes secrets from the environment, in headers and in the environment of a child process', () => {
    const file = parse(
      `
mcp_servers:
  - { name: a, http: { url: 'https://example.com/mcp', headers: { Authorization: 'Bearer \${TOKEN}' } } }
  - { name: b, stdio: { command: b, env: { KEY: '\${TOKEN}-\${OTHER}', PLAIN: '$TOKEN' } } }
`,
      { TOKEN: 'hunter2', OTHER: 'x' },
    );
    expect(file.mcp_servers[0]!.http!.headers).toEqual({ Authorization: 'Bearer hunter2' });
    expect(file.mcp_servers[1]!.stdio!.env).toEqual({ KEY: 'hunter2-x', PLAIN: '$TOKEN' });
  });

  const site = (more: string) =>
    `backstages: [{ name: b, url: 'http://x', plugins: [catalog], token: '\${TOKEN}', ${more} }]`;
  it('with a Backstage has defaults for everything but where it is, what is wanted and the token', () => {
    expect(parse(site(''), { TOKEN: 'hunter2' }).backstages).toEqual([
      {
        name: 'b',
        namespace: 'b',
        url: 'http://x',
        token: 'hunter2',
        caller_tokens: 'preferred',
        plugins: ['catalog'],
        include: ['*'],
        exclude: [],
        refresh_ms: 60_000,
        actions: {},
      },
    ]);
  });

  const action = (more: string) =>
    `actions: [{ id: git.clone, description: Clones, input: { type: object }, ${more} }]`;
  it.each([
    ['actions: [', 'adapters.yaml: '],
    ['- 1', 'the file must be object'],
    ['servers: []', 'the file has a key servers that is not known; known keys: actions, mcp_servers, backstages'],
    ['actions: [{ id: a }]', 'actions[0] must have description'],
    [action(''), 'actions[0] must have one of http and queue'],
    [action('queue: eda, http: { url: "http://x" }'), 'actions[0] must have one of http and queue'],
    [action('queue: a.b'), 'actions[0].queue must match'],
    [action('http: { url: x }'), 'actions[0].http.url must be an http or https URL'],
    [action('http: { url: "http://x", ansver: sync }'), 'has a key ansver that is not known; known keys: url, headers'],
    [action('http: { url: "http://x", answer: sync }'), 'actions[0].http.answer must be one of callback, response'],
    [action('ordering: key, queue: q'), 'actions[0].ordering must be one of principal, none'],
    [action('ordering: { args: key }, queue: q'), 'actions[0].ordering must have argument'],
    [action('deadline_ms: 1.5, queue: q'), 'actions[0].deadline_ms must be integer'],
    ['mcp_servers: [{ name: a }]', 'mcp_servers[0] must have one of stdio and http'],
    ['mcp_servers: [{ name: "a b" }]', 'mcp_servers[0].name must match'],
    [
      'mcp_servers: [{ name: a, stdio: { command: x } }, { name: a, stdio: { command: x } }]',
      'mcp_servers[1].name is the name of another server already',
    ],
    [
      'mcp_servers: [{ name: a, stdio: { command: x }, tools: { echo: { atributes: {} } } }]',
      'mcp_servers[0].tools.echo has a key atributes that is not known',
    ],
    [
      'mcp_servers: [{ name: a, http: { url: "http://x", headers: { Authorization: "Bearer ${NOT_SET}" } } }]',
      'mcp_servers[0].http.headers.Authorization needs the environment variable NOT_SET, which is not set',
    ],
    ['backstages: [{ name: b, url: "http://x", plugins: [a] }]', 'backstages[0] must have token'],
    ['backstages: [{ name: b, url: "http://x", plugins: [], token: x }]', 'backstages[0].plugins must NOT have fewer'],
    [
      'backstages: [{ name: b, url: "http://x", plugins: [a], token: hunter2 }]',
      'backstages[0].token must be ${NAME}, ${file:PATH} or ${vault:PATH#KEY}: where the token is',
    ],
    [site(''), 'backstages[0].token needs the environment variable TOKEN, which is not set'],
    [
      'backstages: [{ name: b, url: "http://x", plugins: [a], token: "${PATH_OF}" }, { name: c, namespace: b, url: "http://x", plugins: [a], token: "${PATH_OF}" }]',
      'backstages[1].namespace is that of another Backstage already',
    ],
    [
      'backstages: [{ name: b, url: "http://x", plugins: [a], token: "${PATH_OF}", actions: { "c:d": {} } }]',
      'backstages[0].actions.c:d must begin with one of plugins',
    ],
  ])('that cannot be used is refused with the file, the place and what belongs there: %s', (text, message) => {
    const env = { PATH_OF: 'x' };
    expect(() => parse(text, env)).toThrow(AdapterFileError);
    expect(() => parse(text, env)).toThrow('/etc/callboard/adapters.yaml: ');
    expect(() => parse(text, env)).toThrow(message);
  });

  it('is refused with the line of the mistake', () => {
    expect(() => parse('actions:\n  - id: a\n    description: b\n    input: 1\n')).toThrow(
      'adapters.yaml: line 4: actions[0].input must be object',
    );
  });

  it('is not repeated in what is said about it', () => {
    const text = action('http: { url: "http://x", headers: { Authorization: [hunter2] } }');
    expect(() => parse(text)).toThrow('actions[0].http.headers.Authorization must be string');
    expect(() => parse(text)).not.toThrow('hunter2');
  });
});
