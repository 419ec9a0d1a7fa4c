import { describe, expect, it } from '@jest/globals';
import {
  COMMAND_SUBJECTS,
  LIVE_PREFIX,
  actionId,
  commandSubject,
  outcomeSubject,
  parseActionId,
  parseStoredCommandSubject,
  partitionSubjects,
  progressSubject,
} from './subjects.js';

describe('subjects', () => {
  it('are spelled as operators know them', () => {
    const address = {
      tenantId: 'acme',
      tool: 'git',
      method: 'clone',
      orderingKey: 'user:default/jane.doe',
      correlationId: 'c_1',
    };
    expect(commandSubject(address)).toBe('cmd.acme.git.clone.user:default/jane%2Edoe.c_1');
    expect(commandSubject({ ...address, method: '' })).toBe('cmd.acme.git.%.user:default/jane%2Edoe.c_1');
    expect(outcomeSubject('acme', 'c_1')).toBe('out.acme.c_1');
    expect(outcomeSubject('a.b', 'c_1')).toBe('out.a%2Eb.c_1');
    expect(progressSubject('acme', 'c_1')).toBe('progress.acme.c_1');
    expect(partitionSubjects(7)).toBe('cmd.7.>');
    expect(COMMAND_SUBJECTS).toBe('cmd.*.*.*.*.*');
    expect(LIVE_PREFIX).toBe('live');
  });

  it('give the address of a stored command back', () => {
    expect(parseStoredCommandSubject('cmd.15.acme.git.%.user:default/jane%2Edoe.c_1')).toEqual({
      partition: 15,
      tenantId: 'acme',
      tool: 'git',
      method: '',
      orderingKey: 'user:default/jane.doe',
      correlationId: 'c_1',
    });
  });

  it.each([
    'cmd.acme.git.clone.key.c_1',
    'cmd.x.acme.git.clone.key.c_1',
    'cmd.1.acme.git.clone.key.c_1.more',
    'out.1.acme.git.clone.key.c_1',
    'cmd.1.%zz.git.clone.key.c_1',
    '',
  ])('are refused when they are not those of a stored command: %j', (subject) => {
    expect(() => parseStoredCommandSubject(subject)).toThrow(RangeError);
  });

  it.each([
    ['git.clone', { tool: 'git', method: 'clone' }],
    ['git.remote.add', { tool: 'git', method: 'remote.add' }],
    ['ping', { tool: 'ping', method: '' }],
  ])('split the MCP name %s at its first dot', (id, name) => {
    expect(parseActionId(id)).toEqual(name);
    expect(actionId(name)).toBe(id);
  });
});
