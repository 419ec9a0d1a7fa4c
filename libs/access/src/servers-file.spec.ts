import { describe, expect, it } from '@jest/globals';
import { ServerSpec } from './server-spec.js';
import { ServersError, parseServers, readServers } from './servers-file.js';

const READS = { read_only: true, destructive: false, idempotent: true, open_world: false };
const DELETES = { ...READS, read_only: false, destructive: true };
const look = { id: 'git.log', attributes: READS };
const drop = { id: 'git.drop', attributes: DELETES };

const server = (yaml: string): ServerSpec => parseServers(`servers:\n  - name: x\n${yaml}`, 'servers.yaml')[1]!;
const shown = (yaml: string) => [look, drop].filter((action) => server(yaml).shows(action)).map(({ id }) => id);

describe('what a server shows', () => {
  it.each<[string, string, string[]]>([
    ['everything, without rules', '', ['git.log', 'git.drop']],
    ['nothing, where it includes nothing', '    include: []', []],
    ['what a name fits', "    include: [{ id: 'git.l*' }]", ['git.log']],
    ['what one of several names fits', "    include: [{ id: [other.*, '*.drop'] }]", ['git.drop']],
    ['nothing that a name only begins with', '    include: [{ id: git }]', []],
    ['nothing for a dot that is meant as a dot', '    include: [{ id: git?log }, { id: gitxlog }]', []],
    ['what its author says of it', '    include: [{ read_only: true }]', ['git.log']],
    ['what fits one rule whole', "    include: [{ id: '*', read_only: true, destructive: true }]", []],
    [
      'what one of two rules fits',
      '    include: [{ read_only: true }, { destructive: true }]',
      ['git.log', 'git.drop'],
    ],
    [
      'not what it excludes, whatever it includes',
      '    include: [{ id: git.* }]\n    exclude: [{ destructive: true }]',
      ['git.log'],
    ],
  ])('is %s', (_, yaml, ids) => {
    expect(shown(yaml)).toEqual(ids);
  });

  it('of an action that nobody serves now is what its name alone settles', () => {
    expect(server('    include: [{ id: git.* }]').surelyShows('git.log')).toBe(true);
    expect(server('    include: [{ read_only: true }]').surelyShows('git.log')).toBe(false);
    expect(server('    exclude: [{ id: git.*, destructive: true }]').surelyShows('git.log')).toBe(false);
    expect(server('    exclude: [{ id: other.*, destructive: true }]').surelyShows('git.log')).toBe(true);
  });
});

describe('the servers file', () => {
  it('is not needed: /mcp shows everything then', async () => {
    const [only, ...others] = await readServers('');
    expect([only!.path, only!.showsAll, only!.events, only!.results, others]).toEqual(['/mcp', true, true, true, []]);
  });

  it('may narrow the server at /mcp too', () => {
    const [atMcp] = parseServers('default: { title: Ours, events: false, exclude: [{ destructive: true }] }', 'f');
    expect([atMcp!.title, atMcp!.events, atMcp!.results, atMcp!.shows(drop)]).toEqual(['Ours', false, true, false]);
  });

  it.each([
    ['servers: [{ title: x }]', 'line 1: servers[0] must have name'],
    ['servers:\n  - name: Reader', 'line 2: servers[0].name must match'],
    ['servers:\n  - name: a\n  - name: a', 'line 3: servers[1].name is the name of another server already'],
    ['servers:\n  - name: a\n    includes: []', 'line 2: servers[0] has a key includes that is not known'],
    [
      'servers:\n  - name: a\n    include:\n      - {}',
      'line 4: servers[0].include[0] must NOT have fewer than 1 properties',
    ],
    ['servers:\n  - name: a\n    include:\n      - readonly: true', 'has a key readonly that is not known'],
  ])('that is wrong is refused with its place: %j', (text, message) => {
    const parse = () => parseServers(text, '/etc/servers.yaml');
    expect(parse).toThrow(ServersError);
    expect(parse).toThrow(message);
  });
});
