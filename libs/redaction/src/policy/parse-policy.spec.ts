/** A mistake in a policy is named with its place and the way out. */
import { describe, expect, it } from '@jest/globals';
import { PolicyError, parsePolicies } from './parse-policy.js';
import { pathMatches } from './policy.js';

function problems(yaml: string): readonly string[] {
  try {
    parsePolicies(yaml);
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
  return [];
}

describe('a policy file', () => {
  it.each([
    ['[]', 'line 1: the file a policy file is a map with "version: 1" and a list "policies"'],
    ['version: 2\npolicies: [{ name: x }]', 'line 1: version must be 1: write "version: 1"'],
    ['version: 1\npolicies: []', 'line 2: policies must be a list of one policy at least'],
    [
      'version: 1\npolicies:\n  - name: x\n    feilds: []',
      'line 4: policies[0].feilds is not known here; there are name, source, topic, mode, unlisted, fields, detectors, pseudonym_length',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n    mode: strict',
      'line 4: policies[0].mode must be one of detect, allow_list',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n  - name: x',
      'line 4: policies[1].name is the name of another policy too: give each its own',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n    fields:\n      - path: a..b\n        action: keep',
      'line 5: policies[0].fields[0].path has an empty segment: write a.b.c, * for any one segment, ** for any number',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n    fields:\n      - path: a\n        action: hide',
      'line 6: policies[0].fields[0].action must be one of keep, scan, redact, pseudonymise, drop',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n    fields:\n      - action: keep',
      'line 5: policies[0].fields[0] must have either "path" (a.b.*.c, ** for any depth) or "name" (the name of a field at any depth)',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n    mode: allow_list',
      'line 3: policies[0].fields must name one field at least under "mode: allow_list": nothing would pass',
    ],
    [
      'version: 1\npolicies:\n  - name: x\n    pseudonym_length: 5',
      'line 4: policies[0].pseudonym_length must be a multiple of four from 4 to 64: hexadecimal digits of a pseudonym',
    ],
  ])('%j: %s', (yaml, problem) => {
    expect(problems(yaml)).toContain(problem);
  });

  it('that names an unknown detector is told the names that there are', () => {
    expect(problems('version: 1\npolicies:\n  - name: x\n    detectors: { emial: off }')[0]).toMatch(
      /^line 4: policies\[0\]\.detectors\.emial is no detector; there are .*email/,
    );
  });

  it('names all mistakes at once', () => {
    expect(problems('version: 3\npolicies:\n  - mode: x\n    source: 4')).toHaveLength(4);
  });

  it('that is no YAML says where', () => {
    expect(problems('version: 1\npolicies: [')[0]).toMatch(/^line 2: not YAML/);
  });
});

describe('a path of a field rule', () => {
  it.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['a.*.c', 'a.0.c', true],
    ['**.email', 'email', true],
    ['**.email', 'a.0.b.email', true],
    ['a.**', 'a.b.c', true],
    ['a.**.z', 'a.z', true],
    ['a.**.z', 'a.b.y', false],
  ])('%s fits %s: %s', (pattern, path, fits) => {
    expect(pathMatches(pattern.split('.'), path.split('.'))).toBe(fits);
  });
});
