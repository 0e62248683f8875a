/** One of MediaPipe's tasks: `{task, base}` makes it, `{picture, at}` is answered with what is seen. */
import {FaceLandmarker, PoseLandmarker} from "./vision_bundle.mjs";

// MediaPipe reports its uses to its maker's server. The page's policy forbids that; here it is told that it has.
const ask = self.fetch.bind(self);
self.fetch = (what, options) => new URL(what.url ?? what, self.location.origin).origin === self.location.origin
  ? ask(what, options) : Promise.resolve(new Response(null, {status: 204}));

let look;

const make = {
  async face(fileset, base) {
    const task = await FaceLandmarker.createFromOptions(fileset, {
      baseOptions: {modelAssetPath: `${base}face_landmarker.task`, delegate: "CPU"}, runningMode: "VIDEO", numFaces: 1,
      outputFaceBlendshapes: true, outputFacialTransformationMatrixes: true,
    });
    return (picture, at) => {
      const {faceBlendshapes: [shapes], facialTransformationMatrixes: [matrix]} = task.detectForVideo(picture, at);
      return {
        scores: shapes ? Object.fromEntries(shapes.categories.map(each => [each.categoryName, each.score])) : null,
        matrix: matrix ? Array.from(matrix.data) : null,
      };
    };
  },
  async pose(fileset, base) {
    const task = await PoseLandmarker.createFromOptions(fileset, {
      baseOptions: {modelAssetPath: `${base}pose_landmarker.task`, delegate: "CPU"}, runningMode: "VIDEO", numPoses: 1,
    });
    return (picture, at) => {
      const {landmarks: [places = []], worldLandmarks: [landmarks = []]} = task.detectForVideo(picture, at);
      return {landmarks, places};
    };
  },
};

onmessage = async ({data}) => {
  try {
    if (data.task) {
      const fileset = {wasmLoaderPath: `${data.base}vision_wasm_module_internal.js`, wasmBinaryPath: `${data.base}vision_wasm_module_internal.wasm`};
      look = await make[data.task](fileset, data.base);
      return postMessage({ready: true});
    }
    const began = performance.now(), result = look(data.picture, data.at);
    data.picture.close();
    postMessage({...result, milliseconds: performance.now() - began});
  } catch (error) { postMessage({error: `${error?.message ?? error}`}); }
};
postMessage({waiting: true});
