/**
 * Policies that were read, checked against the schema and made ready. What is not valid is no policy set: it says all that is wrong, with
 * file and line.
 *
 * Every policy has an id of its own (`@id("…")`): audit records and `callboard access explain` name it, and a number would be another
 * policy's after the next change.
 */
import { readFileSync } from 'node:fs';
import * as cedar from './cedar.js';
import type { DetailedError, PolicyJson } from './cedar.js';
import { toCedarRequest } from './cedar-request.js';
import { Dependencies } from './dependencies.js';
import { PoliciesError } from './policies-error.js';
import type { PolicyTexts } from './policy-files.js';
import { Sets } from './sets.js';
import { OPERATOR_ACTIONS, type AccessAction, type Decision, type Question } from './vocabulary.js';

export const SCHEMA = readFileSync(new URL('../../cedar/callboard.cedarschema', import.meta.url), 'utf8');

const MOST_POLICIES = 4_096;
const OF_OPERATORS: ReadonlySet<AccessAction> = new Set(OPERATOR_ACTIONS);

interface ReadPolicy {
  text: string;
  json: PolicyJson;
  file: string;
  /** In bytes, of its beginning in the file. */
  begin: number;
}

export class PolicySet {
  private constructor(
    /** Under which the engine keeps it. */
    private readonly name: string,
    private readonly sets: Sets,
    /** Those that say in their scope for which actions they are. */
    private readonly naming: ReadonlySet<string>,
    readonly ids: readonly string[],
    readonly digest: string,
    readonly dependencies: Dependencies,
  ) {}

  /**
   * @param name under which the engine keeps it: the set that had it before is gone then, unless this one is not valid
   * @throws PoliciesError
   */
  static compile({ policies, sets: written, digest }: PolicyTexts, name: string): PolicySet {
    const sets = written ? Sets.parse(written.text, written.path) : Sets.NONE;
    const read = readPolicies(policies);
    if (read.size > MOST_POLICIES) throw new PoliciesError(`there are more than ${MOST_POLICIES} policies`);
    const staticPolicies = Object.fromEntries([...read].map(([id, { text }]) => [id, text]));
    const checked = cedar.validate({ schema: SCHEMA, policies: { staticPolicies } });
    if (checked.type === 'failure') throw new PoliciesError(checked.errors.map(wordsOf));
    const problems = checked.validationErrors.map(({ policyId, error }) => {
      const policy = read.get(policyId)!;
      return `${placeOf(policies, policy, error)}: ${wordsOf(error)}`;
    });
    if (problems.length > 0) throw new PoliciesError(problems);
    const parsed = cedar.preparsePolicySet(name, { staticPolicies });
    if (parsed.type === 'failure') throw new PoliciesError(parsed.errors.map(wordsOf));
    const dependencies = Dependencies.of([...read.values()], SCHEMA);
    const naming = [...read].filter(([, { json }]) => json.action.op !== 'All').map(([id]) => id);
    return new PolicySet(name, sets, new Set(naming), [...read.keys()], digest, dependencies);
  }

  /** Costs a tenth of a millisecond and more: see `Policies` for what is remembered. */
  decide(question: Question, at: Date): Decision {
    const request = toCedarRequest(question, this.sets, at);
    const answer = cedar.statefulIsAuthorized({ ...request, preparsedPolicySetId: this.name, validateRequest: false });
    // The engine refuses what it cannot read; whoever asked may then do nothing.
    if (answer.type === 'failure') return { allowed: false, policies: [], failed: [] };
    const { decision, diagnostics } = answer.response;
    const failed = diagnostics.errors.map(({ policyId }) => policyId).sort();
    const permitted = decision === 'allow';
    // A permission for everything was written by somebody who thought of everybody's own doing.
    const deciding = diagnostics.reason.filter(
      (id) => !permitted || !OF_OPERATORS.has(question.action) || this.naming.has(id),
    );
    return { allowed: permitted && deciding.length > 0 && failed.length === 0, policies: deciding.sort(), failed };
  }
}

function readPolicies(files: PolicyTexts['policies']): Map<string, ReadPolicy> {
  const read = new Map<string, ReadPolicy>();
  const problems: string[] = [];
  for (const [file, text] of files) {
    const parts = cedar.policySetTextToParts(text);
    if (parts.type === 'failure') {
      problems.push(...parts.errors.map((error) => `${file}: line ${lineOf(text, startOf(error))}: ${wordsOf(error)}`));
      continue;
    }
    if (parts.policy_templates.length > 0) problems.push(`${file}: has a template; only policies can be used`);
    let offset = 0;
    let end = 0;
    for (const policy of inOrder(parts.policies)) {
      offset = text.indexOf(policy, end);
      end = offset + policy.length;
      const begin = Buffer.byteLength(text.slice(0, offset));
      const at = `${file}: line ${lineOf(text, begin)}`;
      const parsed = cedar.policyToJson(policy);
      if (parsed.type === 'failure') {
        problems.push(...parsed.errors.map((error) => `${at}: ${wordsOf(error)}`));
        continue;
      }
      const id = parsed.json.annotations?.['id'];
      if (!id) problems.push(`${at}: a policy must have an id: @id("…") before it`);
      else if (read.has(id)) problems.push(`${at}: @id("${id}") is the id of another policy already`);
      else read.set(id, { text: policy, json: parsed.json, file, begin });
    }
  }
  if (problems.length > 0) throw new PoliciesError(problems);
  return read;
}

/** As they stand in the file: Cedar gives them sorted by the names that it makes, `policy0`, `policy1`, `policy10`, `policy2`. */
function inOrder(parts: readonly string[]): string[] {
  const sorted: string[] = [];
  const names = parts.map((_, i) => `policy${i}`).sort();
  names.forEach((name, i) => (sorted[Number(name.slice('policy'.length))] = parts[i]!));
  return sorted;
}

function placeOf(files: PolicyTexts['policies'], { file, begin }: ReadPolicy, error: DetailedError): string {
  return `${file}: line ${lineOf(files.get(file)!, begin + startOf(error))}`;
}

function startOf({ sourceLocations }: DetailedError): number {
  return sourceLocations?.[0]?.start ?? 0;
}

function lineOf(text: string, offset: number): number {
  // Cedar counts bytes.
  const before = Buffer.from(text).subarray(0, Math.max(0, offset));
  return before.toString().split('\n').length;
}

function wordsOf({ message, help }: DetailedError): string {
  return help ? `${message} (${help})` : message;
}
