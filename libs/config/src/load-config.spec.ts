import { describe, expect, it } from '@jest/globals';
import {
  IsBase64,
  IsBoolean,
  IsIn,
  IsInt,
  IsNotEmpty,
  IsNumber,
  IsOptional,
  IsString,
  Max,
  Min,
} from 'class-validator';
import { ConfigError, FromEnv, describeConfig, loadConfig } from './load-config.js';

class CommonConfig {
  @FromEnv('APP_URL', 'Where the server is')
  @IsString()
  @IsNotEmpty()
  url: string = 'nats://127.0.0.1:4222';
}

class AppConfig extends CommonConfig {
  @FromEnv('APP_PORT', 'Port to listen on')
  @IsInt()
  @Min(0)
  @Max(65_535)
  port: number = 3333;

  @FromEnv('APP_RATIO', 'A share')
  @IsNumber()
  ratio: number = 0.5;

  @FromEnv('APP_OPEN', 'Is it open?')
  @IsBoolean()
  open: boolean = false;

  @FromEnv('APP_LEVEL', 'How much to say')
  @IsIn(['low', 'high'])
  level: string = 'low';

  @FromEnv('APP_KEY', 'A secret')
  @IsOptional()
  @IsBase64()
  key?: string = undefined;

  @FromEnv('APP_TENANT', 'Must be said')
  @IsString()
  @IsNotEmpty()
  tenant!: string;
}

function problems(env: NodeJS.ProcessEnv): string[] {
  try {
    loadConfig(AppConfig, env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems;
  }
  return [];
}

describe('a configuration', () => {
  it('has its defaults where nothing is set, and where a variable is empty', () => {
    const config = loadConfig(AppConfig, { APP_TENANT: 'acme', APP_PORT: '', APP_URL: '' });
    expect({ ...config }).toEqual({
      url: 'nats://127.0.0.1:4222',
      port: 3333,
      ratio: 0.5,
      open: false,
      level: 'low',
      key: undefined,
      tenant: 'acme',
    });
  });

  it('takes what is set, each as its type', () => {
    const env = { APP_TENANT: '42', APP_PORT: '0', APP_RATIO: '-0.25', APP_OPEN: 'true', APP_URL: 'nats://x' };
    expect(loadConfig(AppConfig, env)).toMatchObject({
      tenant: '42',
      port: 0,
      ratio: -0.25,
      open: true,
      url: 'nats://x',
    });
  });

  it.each([
    [{}, 'APP_TENANT is not set: it should not be empty, and must be a string'],
    [{ APP_PORT: 'http' }, 'APP_PORT must be a number'],
    [{ APP_PORT: ' ' }, 'APP_PORT must be a number'],
    [{ APP_PORT: '0x10' }, 'APP_PORT must be a number'],
    [{ APP_PORT: 'Infinity' }, 'APP_PORT must be a number'],
    [{ APP_PORT: '65536' }, 'APP_PORT must not be greater than 65535'],
    [{ APP_PORT: '-1' }, 'APP_PORT must not be less than 0'],
    [{ APP_PORT: '1.5' }, 'APP_PORT must be an integer number'],
    [{ APP_OPEN: 'yes' }, 'APP_OPEN must be a boolean (true or false)'],
    [{ APP_LEVEL: 'loud' }, 'APP_LEVEL must be one of the following values: low, high'],
  ])('that is wrong (%j) names the variable and what it must be', (env, problem) => {
    expect(problems(env)).toContain(problem);
  });

  it('names everything that is wrong at once, each variable once', () => {
    expect(problems({ APP_PORT: 'x', APP_OPEN: '1', APP_LEVEL: 'x' }).map((line) => line.split(' ')[0])).toEqual([
      'APP_PORT',
      'APP_OPEN',
      'APP_LEVEL',
      'APP_TENANT',
    ]);
  });

  it('that is wrong never shows a value, which may be a secret', () => {
    const secret = 'not!base64!hunter2';
    const env = { APP_TENANT: 'x', APP_KEY: secret, APP_PORT: secret, APP_OPEN: secret, APP_LEVEL: secret };
    const lines = problems(env);
    expect(lines).toHaveLength(4);
    expect(new ConfigError(lines).message).not.toContain('hunter2');
    expect(lines).toContain('APP_KEY must be base64 encoded');
  });

  it('tells its variables for the reference, those of the class that it extends first', () => {
    expect(describeConfig(AppConfig).map(({ name, type, default: value }) => [name, type, value])).toEqual([
      ['APP_URL', 'string', 'nats://127.0.0.1:4222'],
      ['APP_PORT', 'number', 3333],
      ['APP_RATIO', 'number', 0.5],
      ['APP_OPEN', 'boolean', false],
      ['APP_LEVEL', 'string', 'low'],
      ['APP_KEY', 'string', undefined],
      ['APP_TENANT', 'string', undefined],
    ]);
    expect(describeConfig(CommonConfig)).toHaveLength(1);
  });
});
