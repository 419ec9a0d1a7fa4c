/**
 * Faults that somebody could build into the product, each as a small change to one compiled file. The checker must find each of them:
 * `npm run faults -- --mutation all --small`.
 */
export interface Mutation {
  name: string;
  what: string;
  /** Compiled, from the root. */
  file: string;
  /** Stands there exactly once. */
  find: string;
  replace: string;
}

export const MUTATIONS: readonly Mutation[] = [];
