"""When to measure: Lightning callbacks around the pure functions of measure.py.

One training step, and where each probe fires:

    on_train_start                DeadUnitProbe looks for dead units, and on_train_end again
    on_train_batch_start          Checkpointer saves, before all others act; WeightProbe keeps W; hooks go in;
                                  ShiftProbe: moments of the layers' inputs; GradientChangeProbe keeps all parameters
    logits = module(images)         hooks: signal and saturation (ActivationProbe)
    on_before_backward            DivergenceRecorder: the layer where a replica's first infinite loss comes from
    loss.backward()                 hooks: dL/dz of every hidden layer (GradientProbe)
    on_before_optimizer_step      GradientProbe: weight-gradient norms BEFORE clipping
    configure_gradient_clipping     (training/clipping.py, one replica at a time)
    optimizer.step()
    on_train_batch_end            GradientProbe: norms AFTER clipping; WeightProbe: update ratio, travel; hooks out;
                                  ShiftProbe: the moments' shift; GradientChangeProbe: G and each layer's G' (replay.py)
                                  CurveRecorder: loss, accuracy, divergence; Recorder: the step's ONE host transfer
    on_validation_end             BestKeeper keeps each replica's best weights

Probes only look: with or without them the weights are the same, bit for bit.
"""
