/**
 * Typed configuration from environment variables, checked once at start-up.
 *
 * A configuration is a class: every property names its variable with `@FromEnv`, has a default in its initialiser (or none, when
 * it must be set) and class-validator decorators for what is allowed. The property's declared type (`string`, `number`,
 * `boolean`) decides how the text is read.
 */
import 'reflect-metadata';
import { validateSync } from 'class-validator';

export interface ConfigVariable {
  name: string;
  property: string;
  description: string;
  type: 'string' | 'number' | 'boolean';
  default: unknown;
}

const VARIABLES = Symbol('callboard:config');

/** Binds a property to an environment variable. The description is the one in the configuration reference. */
export function FromEnv(name: string, description: string): PropertyDecorator {
  return (target, property) => {
    const declared = Reflect.getMetadata('design:type', target, property) as unknown;
    const type = declared === Number ? 'number' : declared === Boolean ? 'boolean' : 'string';
    const known = (Reflect.getMetadata(VARIABLES, target) as ConfigVariable[] | undefined) ?? [];
    const variable = { name, property: String(property), description, type, default: undefined } as const;
    Reflect.defineMetadata(VARIABLES, [...known, variable], target);
  };
}

/** Everything that is wrong with a configuration, one line a variable, each with the way out. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: string[]) {
    super(`Configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

/**
 * Reads and checks a configuration.
 * @throws ConfigError naming each variable that is wrong and what it must be; never its value, which may be a secret.
 */
export function loadConfig<T extends object>(type: new () => T, env: NodeJS.ProcessEnv = process.env): T {
  const config = new type();
  const variables = variablesOf(type);
  const problems: string[] = [];
  for (const { name, property, type: kind } of variables) {
    const text = env[name];
    if (text === undefined || text === '') continue;
    const value = read(text, kind);
    if (value === undefined) problems.push(`${name} must be a ${kind}${kind === 'boolean' ? ' (true or false)' : ''}`);
    else Reflect.set(config, property, value);
  }
  for (const error of validateSync(config, {
    forbidUnknownValues: false,
    validationError: { target: false, value: false },
  })) {
    const name = variables.find(({ property }) => property === error.property)?.name ?? error.property;
    if (problems.some((problem) => problem.startsWith(`${name} `))) continue;
    const rules = Object.values(error.constraints ?? {}).map((rule) => rule.replace(error.property, '').trim());
    const unset = (config as Record<string, unknown>)[error.property] === undefined;
    problems.push(`${name} ${unset ? 'is not set: it ' : ''}${rules.join(', and ')}`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** The variables of a configuration with their defaults, for the reference. */
export function describeConfig(type: new () => object): ConfigVariable[] {
  const defaults = new type() as Record<string, unknown>;
  return variablesOf(type).map((variable) => ({ ...variable, default: defaults[variable.property] }));
}

function variablesOf(type: new () => object): ConfigVariable[] {
  return (Reflect.getMetadata(VARIABLES, type.prototype) as ConfigVariable[] | undefined) ?? [];
}

function read(text: string, kind: ConfigVariable['type']): unknown {
  if (kind === 'string') return text;
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined;
  // Plain decimals only: `Number` also takes blanks for 0, and hexadecimal that nobody meant.
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}
