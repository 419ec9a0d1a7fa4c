/** What a run with events has seen, from every side, as plain data: what was posted and answered, the kills, what is stored, and what clients read. */
import type { Kill } from '../history.js';

/** How an event gets in: through Backstage and its plug-in, straight to the ingestor, or over Backstage's events bus. */
export type Way = 'plug-in' | 'ingestor' | 'bus';

/** The two eras of MCP clients. */
export const ERAS = ['modern', 'legacy'] as const;
export type Era = (typeof ERAS)[number];

export interface EventHistory {
  posts: readonly Post[];
  kills: readonly Kill[];
  /** EVENTS, in the order of the stream. */
  stored: readonly SeenEvent[];
  gaps: readonly SeenGap[];
  /** What the subscribed client of each era was given, in its order. */
  read: Readonly<Record<Era, readonly SeenEvent[]>>;
  /** Events that the filter holds back. */
  held: number;
}

export interface Post {
  way: Way;
  key: string;
  value: number;
  /** Private; in the data of this event and of no other. */
  secret: string;
  sentAt: number;
  /** When it was said to be taken; absent when that was never said. */
  answeredAt?: number;
  attempts: number;
}

export interface SeenEvent {
  way: Way;
  key: string;
  value: number;
  /** Everything of it that a client could see. */
  text: string;
}

export interface SeenGap {
  reason: string;
  since: number;
  until: number;
}
