/** What the doctor says of one thing: how it is, and where it is not well, the way out. */
import { messageOf } from '../failure.js';

export type Status = 'ok' | 'warning' | 'failed';

export interface Finding {
  /** What was looked at, as a person calls it. */
  check: string;
  /** What is the matter, for programs: it stays the same when the words change. */
  code: string;
  status: Status;
  finding: string;
  /** What to do about it; absent where all is well. */
  fix?: string;
}

export const ok = (check: string, finding: string): Finding => ({ check, code: 'ok', status: 'ok', finding });

export const warning = (check: string, code: string, finding: string, fix: string): Finding => ({
  check,
  code,
  status: 'warning',
  finding,
  fix,
});

export const failed = (check: string, code: string, finding: string, fix: string): Finding => ({
  check,
  code,
  status: 'failed',
  finding,
  fix,
});

/** What cannot be looked at is a finding too, and no reason to look at nothing else. */
export async function looking(check: string, fix: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [failed(check, 'not_seen', messageOf(error), fix)];
  }
}
