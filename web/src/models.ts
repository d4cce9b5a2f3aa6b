/** The models that the gateway serves, which may be others once it has been away. */

import { equals } from "@bufbuild/protobuf";
import { batch } from "@preact/signals";
import type { Model } from "maskweave-client";
import { ConditionKind, ModelSchema } from "maskweave-client/proto";
import { say } from "./actions";
import { client } from "./api/client";
import { drawingSize, forgetLayers, model, modelName, models, TABS } from "./state";

/** What a drawing depends on: one of a model with other classes or another size means something else. */
const shapeOf = (of: Model) =>
  JSON.stringify([of.palette.map(({ id, name, color }) => [id, name, color]), TABS.map(({ kind }) => drawingSize(of, kind ?? ConditionKind.LABEL_MAP))]);

/**
 * Asks for the models again. Those that are as they were stay the same objects, with all that belongs to them.
 *
 * @returns `changed`: whether the present model is another than before. `any`: whether there is one at all; if not,
 *   nothing else happens.
 */
export async function refreshModels(signal?: AbortSignal): Promise<{ changed: boolean; any: boolean }> {
  const listed = await client.peek().models({ signal, timeoutMs: 10_000 });
  if (!listed.length) return { changed: false, any: false };
  const known = new Map(models.peek().map((each) => [each.name, each]));
  const merged = listed.map((each) => {
    const before = known.get(each.name);
    return before && equals(ModelSchema, before, each) ? before : each;
  });
  const present = model.peek();
  if (merged.length === known.size && merged.every((each) => known.get(each.name) === each)) return { changed: false, any: true };
  batch(() => {
    for (const [name, before] of known) {
      const now = merged.find((each) => each.name === name);
      if (!now || shapeOf(now) !== shapeOf(before)) forgetLayers(name);
    }
    models.value = merged;
    if (!present || merged.some(({ name }) => name === present.name)) return;
    const other = merged[0]!;
    modelName.value = other.name;
    say(`${present.title || present.name} is no longer served. This is ${other.title || other.name}.`);
  });
  return { changed: model.peek() !== present, any: true };
}
