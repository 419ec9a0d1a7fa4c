/**
 * Configuration files in YAML, read strictly: what is not known is a mistake, and a mistake is an error with the file, the line, the
 * place and what belongs there, never what stands there.
 */
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import { LineCounter, parseDocument, type Document } from 'yaml';

type Place = readonly (string | number)[];

/** What a file, or a part of it, may look like: true where a value does, and else why it does not. */
export interface Shape<T> {
  (value: unknown): value is T;
  errors?: ErrorObject[] | null | undefined;
}

let ajv: Ajv2020 | undefined;
/** Enough to say a thing once; what refers to itself over and over is refused. */
const MOST_ALIASES = 100;
const HTTP_URL = '^https?://';

/** Compiled when it is first asked: many processes import shapes of files that they never read, and would start half a second later. */
export function shapeOf<T>(schema: object): Shape<T> {
  const shape: Shape<T> = (value): value is T => {
    ajv ??= new Ajv2020({ allErrors: false, useDefaults: true, strict: false, verbose: true, validateSchema: false });
    // One schema object compiles once.
    const validate = ajv.compile<T>(schema);
    const fits = validate(value);
    shape.errors = validate.errors;
    return fits;
  };
  return shape;
}

/** The schema of a map with these keys and no others. */
export function record(properties: Record<string, unknown>, required: readonly string[] = []): Record<string, unknown> {
  return { type: 'object', properties, required, additionalProperties: false };
}

/** The schema of an http or https URL. */
export const httpUrl = { type: 'string', pattern: HTTP_URL };

export class YamlFile {
  private constructor(
    private readonly path: string,
    private readonly document: Document,
    private readonly lines: LineCounter,
    private readonly Mistake: new (message: string) => Error,
    private readonly root: unknown,
  ) {}

  /** @throws Mistake when the text is no YAML. */
  static parse(text: string, path: string, Mistake: new (message: string) => Error): YamlFile {
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines });
    const [error] = document.errors;
    if (error) {
      const what = error.message.split('\n', 1)[0]!.replace(/( at line .*)?:$/, '');
      throw new Mistake(`${path}: line ${error.linePos?.[0].line ?? 1}: ${what}`);
    }
    let root: unknown;
    try {
      root = document.toJS({ maxAliasCount: MOST_ALIASES }) ?? {};
    } catch {
      throw new Mistake(`${path}: uses too many aliases`);
    }
    return new YamlFile(path, document, lines, Mistake, root);
  }

  /**
   * The value at a place, with its defaults filled in.
   * @throws Mistake when it does not have the shape.
   */
  check<T>(shape: Shape<T>, place: Place = []): T {
    let value = this.root;
    for (const step of place) value = (value as Record<string | number, unknown>)[step];
    if (shape(value)) return value;
    const [at, what] = describe(shape.errors![0]!);
    throw this.mistake([...place, ...at], what);
  }

  /** What is wrong at a place, to be thrown. */
  mistake(place: Place, what: string): Error {
    return new this.Mistake(`${this.path}: line ${this.#lineOf(place)}: ${textOf(place)} ${what}`);
  }

  /** The line of a place, or of the nearest thing around it that is there. */
  #lineOf(place: Place): number {
    for (let length = place.length; length >= 0; length--) {
      const node = this.document.getIn(place.slice(0, length), true) as
        { range?: [number, number, number] } | undefined;
      if (node?.range) return this.lines.linePos(node.range[0]).line;
    }
    return 1;
  }
}

function textOf(place: Place): string {
  if (place.length === 0) return 'the file';
  return place
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

/** One mistake in words: where it is, and what must be there. */
function describe(error: ErrorObject): [at: Place, what: string] {
  const at = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')));
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = Object.keys((error.parentSchema as { properties: object }).properties).join(', ');
      return [at, `has a key ${String(params['additionalProperty'])} that is not known; known keys: ${known}`];
    }
    case 'required':
      return [at, `must have ${String(params['missingProperty'])}`];
    case 'enum':
      return [at, `must be one of ${(params['allowedValues'] as string[]).join(', ')}`];
    case 'pattern':
      return params['pattern'] === HTTP_URL
        ? [at, 'must be an http or https URL']
        : [at, `must match ${String(params['pattern'])}`];
    default:
      return [at, error.message ?? 'is not valid'];
  }
}
