/**
 * Tests run on the compiled output, the same files that the stack runs: `npm test` builds first. They start real servers and
 * real processes, so few at once and with room for a slow machine: three on two cores took as long as two, and more of them were late.
 * @type {import('jest').Config}
 */
export default {
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/tools'],
  testMatch: ['**/dist/**/*.spec.js'],
  transform: {},
  globalSetup: '<rootDir>/libs/testing/dist/jest/global-setup.js',
  globalTeardown: '<rootDir>/libs/testing/dist/jest/global-teardown.js',
  setupFiles: ['<rootDir>/libs/testing/dist/jest/fast-signatures.js'],
  testEnvironment: '<rootDir>/libs/testing/dist/jest/leak-guard.js',
  testSequencer: '<rootDir>/libs/testing/dist/jest/longest-first.js',
  testTimeout: 180_000,
  maxWorkers: 2,
};
