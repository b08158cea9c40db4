/** The post-processors of tokenizer.json, reduced to what they do to one text: ids put before it and after it. */

import { Json } from './json.ts';

export interface Frame {
  prefix: readonly number[];
  suffix: readonly number[];
}

export function readPostProcessor(json: Json): Frame {
  if (json.isMissing) return { prefix: [], suffix: [] };
  const type = json.get('type').string();
  switch (type) {
    case 'ByteLevel':
      return { prefix: [], suffix: [] }; // it moves offsets only
    case 'TemplateProcessing':
      return readTemplate(json);
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { prefix: [readPair(json.get('cls'))], suffix: [readPair(json.get('sep'))] };
    case 'Sequence':
      return json
        .get('processors')
        .items()
        .map(readPostProcessor)
        .reduce((inner, outer) => ({
          prefix: [...outer.prefix, ...inner.prefix],
          suffix: [...inner.suffix, ...outer.suffix],
        }));
    default:
      return json.get('type').fail('ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing or Sequence');
  }
}

function readPair(json: Json): number {
  const [, id] = json.list();
  return new Json(id, `${json.path}[1]`).index();
}

function readTemplate(json: Json): Frame {
  const prefix: number[] = [];
  const suffix: number[] = [];
  let seen = false;
  for (const item of json.get('single').items()) {
    if (!item.get('Sequence').isMissing) {
      seen = true;
      continue;
    }
    const name = item.get('SpecialToken').get('id').string();
    const ids = json.get('special_tokens').get(name).get('ids').items();
    (seen ? suffix : prefix).push(...ids.map((id) => id.index()));
  }
  return { prefix, suffix };
}
