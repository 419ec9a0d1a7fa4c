/**
 * What leaves in a notification is read by the redaction library first. Credentials never leave: they are cut, or the notification is
 * refused. Personal data is for the policy to decide: recipients are people, who may read about each other.
 *
 * Names of things (recipients, topic, scope, icon) are searched only for what is certainly a credential, and refused with one, since cut they
 * would name something else.
 */
import { randomBytes } from 'node:crypto';
import { ActionError } from '@callboard/actions';
import {
  ALL_DETECTORS,
  BUILT_IN_POLICY,
  SECRETS_ONLY_POLICY,
  redact,
  type Json,
  type Policy,
} from '@callboard/redaction';
import type { NotificationArgs, Notification, NotificationPayload } from './notification.js';

export interface CleaningPolicy {
  secrets: 'cut' | 'refuse';
  personalData: 'keep' | 'cut';
}

export interface Cleaned {
  notification: Notification;
  /** How much was cut, by type. */
  redacted: Record<string, number>;
}

/** A placeholder and no pseudonym: the same whoever sends it again. */
const CUT: Pick<Policy, 'detectors'> = { detectors: new Map(ALL_DETECTORS.map((name) => [name, 'redact'])) };
const COLUMN_CHARS = 255;

export class Cleaner {
  /** Nothing is pseudonymised, so nothing depends on it. */
  readonly #key = randomBytes(32);
  readonly #policies: readonly [Policy];

  constructor(private readonly policy: CleaningPolicy) {
    const base = policy.personalData === 'cut' ? BUILT_IN_POLICY : SECRETS_ONLY_POLICY;
    this.#policies = [{ ...base, ...CUT, detectors: new Map([...CUT.detectors, ['model', 'off']]) }];
  }

  /**
   * @param recipients as they were named: a credential in lower case is none that can be known
   * @throws ActionError when it may not be sent
   */
  clean(notification: Notification, recipients: NotificationArgs['recipients'], tenant: string): Cleaned {
    const { title, description, link, metadata } = notification.payload;
    const text = { title, description, link, metadata };
    const names = {
      topic: notification.payload.topic ?? null,
      scope: notification.payload.scope,
      icon: notification.payload.icon ?? null,
      recipients: recipients.type === 'entity' ? namesIn([recipients.entityRef, recipients.excludeEntityRef]) : null,
    };
    const outcome = redact(JSON.parse(JSON.stringify(text)) as Json, {
      key: this.#key,
      tenant,
      policies: this.#policies,
    });
    const named = redact(names, { key: this.#key, tenant, policies: [{ ...SECRETS_ONLY_POLICY, ...CUT }] });
    if (!outcome.ok || !named.ok) {
      throw new ActionError('The notification cannot be read for what must not leave, and is not sent', {
        code: 'invalid_arguments',
      });
    }
    if (named.findings.length > 0) throw secretsRefused('topic, scope, icon or recipients');
    const redacted: Record<string, number> = {};
    for (const { type } of outcome.findings) redacted[type] = (redacted[type] ?? 0) + 1;
    if (this.policy.secrets === 'refuse' && redacted['SECRET']) throw secretsRefused('the text');
    const value = outcome.value as Partial<NotificationPayload>;
    const cut = { ...notification.payload, ...value, title: (value.title ?? '').slice(0, COLUMN_CHARS) };
    return { notification: { ...notification, payload: cut }, redacted };
  }
}

/** Also each part of a ref by itself, as if it stood alone. */
function namesIn(refs: readonly (string | readonly string[] | undefined)[]): string[] {
  const whole = refs.flat().filter((ref) => ref !== undefined);
  return [...whole, ...whole.flatMap((ref) => ref.split(/[:/]/))];
}

function secretsRefused(where: string): ActionError {
  return new ActionError(`There is a credential in ${where}; it is not sent`, { code: 'secret_refused' });
}
