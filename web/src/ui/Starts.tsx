/** What to start from: samples, nothing, chance, or a file. */

import { useSignal, useSignalEffect } from "@preact/signals";
import {
  editImageOfSeed,
  editSamplePhoto,
  loadFile,
  loadPhoto,
  saveDrawing,
  saying,
  showsThis,
  startBlank,
  startFrom,
  startFromPhoto,
  startFromRandomImage,
  startRandom,
  useExemplar,
} from "../actions";
import { samplesOf, type Sample } from "../canvas/samples";
import { edited, exemplar, layer, model, tab } from "../state";
import { FileButton, IconButton } from "./icons";

export function Starts() {
  const samples = useSignal<Sample[]>([]);
  useSignalEffect(() => {
    const [of, on] = [model.value, tab.value];
    samples.value = [];
    if (of)
      void saying(async () => {
        const found = await samplesOf(of, on === "edit" ? "photograph" : on);
        if (on === tab.peek() && of === model.peek()) samples.value = found;
      });
  });
  const take = (sample: Sample) => {
    if (tab.value === "exemplar") void saying(() => useExemplar(sample));
    else if (tab.value === "edit") void saying(() => editSamplePhoto(sample));
    else void saying(() => startFrom(sample));
  };
  const draws = tab.value === "label_map" || tab.value === "sketch" || tab.value === "scribble";
  return (
    <div class="starts">
      <div class="thumbs" role="group" aria-label="Start from">
        {tab.value === "edit" && (
          <IconButton icon="reset" title="This seed's face" text onClick={editImageOfSeed} />
        )}
        {draws && <IconButton icon="blank" title="Blank" onClick={startBlank} />}
        {tab.value === "label_map" && <IconButton icon="dice" title="Random drawing" onClick={startRandom} />}
        {tab.value === "label_map" && model.value?.reading?.seeds && (
          <IconButton icon="face" title="Random image" onClick={() => void startFromRandomImage()} />
        )}
        {tab.value === "label_map" && model.value?.reading?.pictures && (
          <FileButton title="From a photograph" accept="image/*" icon="photo" square onFile={(file) => void startFromPhoto(file)} />
        )}
        {samples.value.map((sample) => (
          <button type="button" class="thumb" key={sample.url} title={sample.title} onClick={() => take(sample)}>
            <img src={sample.url} alt={sample.title} width="44" height="44" decoding="async" />
          </button>
        ))}
      </div>
      <div class="group">
        {tab.value === "edit" ? (
          <>
            <FileButton title="Photograph" accept="image/*" onFile={(file) => void loadPhoto(file)} />
            {edited.value?.photo && layer.value && (
              <IconButton icon="eye" title="It shows this" text onClick={() => showsThis(layer.value!)} />
            )}
          </>
        ) : (
          <FileButton title="Load" accept={tab.value === "exemplar" ? "image/*" : "image/png,image/*"} onFile={(file) => void loadFile(file)} />
        )}
        {layer.value && !(tab.value === "exemplar") && (
          <IconButton icon="save" title="Save drawing" onClick={() => void saveDrawing(layer.value!)} />
        )}
      </div>
      {tab.value === "exemplar" && exemplar.value && <span class="hidden">{exemplar.value.title}</span>}
    </div>
  );
}
