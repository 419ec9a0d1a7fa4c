import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/** Which kind of project may import which, and which packages keep a domain lib from being pure. See docs/architecture.md. */
const boundaries = [
  { sourceTag: 'type:app', onlyDependOnLibsWithTags: ['type:domain', 'type:transport'] },
  { sourceTag: 'type:transport', onlyDependOnLibsWithTags: ['type:domain', 'type:transport'] },
  {
    sourceTag: 'type:domain',
    onlyDependOnLibsWithTags: ['type:domain'],
    bannedExternalImports: ['@nestjs/*', '@nats-io/*', '@modelcontextprotocol/*'],
  },
  { sourceTag: 'type:testing', onlyDependOnLibsWithTags: ['type:domain', 'type:transport', 'type:testing'] },
];

export default tseslint.config(
  { ignores: ['**/dist/', '**/node_modules/', '.nx/', '.callboard/'] },
  ...tseslint.configs.recommended,
  prettier,
  {
    files: ['**/*.ts'],
    plugins: { '@nx': nx },
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        { enforceBuildableLibDependency: false, allow: [], depConstraints: boundaries },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-explicit-any': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    // Programs whose output is their product.
    files: ['apps/cli/**/*.ts', 'tools/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    // Specs, and what only they use, may reach every kind of project: they start real servers and real apps.
    files: ['**/*.spec.ts', '**/src/spec/**/*.ts', '**/spec-*.ts'],
    rules: { '@nx/enforce-module-boundaries': 'off' },
  },
);
